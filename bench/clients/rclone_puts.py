"""Stores COUNT objects of BYTES bytes with one rclone that stays, one after the other; prints the microseconds of each."""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request

rclone, bucket, prefix, count, size = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])


def ask(address, call, **arguments):
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}{call}", json.dumps(arguments).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def address_of(daemon):
    """It says where it serves on a port of the system's choice."""
    for line in daemon.stderr:
        if "http://" in line:
            return "http://" + line.split("http://")[1].split()[0].rstrip('/"') + "/"
    sys.exit("rclone did not start")


remote = (
    f":s3,provider=Minio,env_auth=true,region=us-east-1,no_check_bucket=true,force_path_style=true,"
    f"endpoint='{os.environ['AWS_ENDPOINT_URL']}':{bucket}/{prefix}"
)
with tempfile.TemporaryDirectory() as folder:
    with open(f"{folder}/body", "wb") as file:
        file.write(bytes(i * 31 & 0xFF for i in range(size)))
    serve = [rclone, "rcd", "--rc-no-auth", "--rc-addr", "127.0.0.1:0", "--config", "/dev/null", "-v"]
    daemon = subprocess.Popen(serve, stderr=subprocess.PIPE, text=True)
    try:
        address = address_of(daemon)
        ask(address, "operations/list", fs=remote, remote="")
        for number in range(count):
            begun = time.perf_counter()
            ask(
                address, "operations/copyfile",
                srcFs=folder, srcRemote="body", dstFs=remote, dstRemote=str(number),
            )
            print(round((time.perf_counter() - begun) * 1e6))
    finally:
        daemon.terminate()
        daemon.wait()
