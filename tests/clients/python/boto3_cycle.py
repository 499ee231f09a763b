"""What a program with boto3 does in its life, with boto3's own defaults; prints `did STEP` after each step.

usage: boto3_cycle.py host | owner     (the endpoint and the credentials are in the environment)
"""

import hashlib
import io
import random
import sys

import boto3
import botocore.config
import botocore.exceptions
from boto3.s3.transfer import TransferConfig

BUCKET = "myorg"
ROOT = "web-01/boto3/"
MIB = 1 << 20
BIG = random.Random(4).randbytes(9 * MIB)
SMALL = b"worth keeping\n"
AWKWARD = ["plain", "with space", "a+b", "ünï/cödé", "double//slash", "dots/../..", "per%20cent", "trailing/", "quote'\"<&>"]
# What it writes in parts: two of them, and the second is short.
PARTS = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)

# What an endpoint without a name gets by itself; over TLS it has one.
s3 = boto3.client("s3", config=botocore.config.Config(s3={"addressing_style": "path"}))


def did(step):
    print("did " + step, flush=True)


def bytes_of(key, **more):
    return s3.get_object(Bucket=BUCKET, Key=ROOT + key, **more)["Body"].read()


def keys(**more):
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=ROOT, PaginationConfig={"PageSize": 4}, **more)
    return [found["Key"][len(ROOT):] for page in pages for found in page.get("Contents", [])]


def refused(code, call, **arguments):
    try:
        call(Bucket=BUCKET, **arguments)
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        assert error.response["ResponseMetadata"]["RetryAttempts"] == 0, "a refusal is not tried again"
    else:
        raise AssertionError("should have been refused: " + repr(arguments))


def puts():
    answer = s3.put_object(Bucket=BUCKET, Key=ROOT + "small", Body=SMALL, Metadata={"colour": "blue"}, ContentType="text/plain")
    assert answer["ETag"] == '"' + hashlib.md5(SMALL).hexdigest() + '"', answer
    assert answer["ChecksumCRC32"], "the checksum it sends by itself comes back"
    head = s3.head_object(Bucket=BUCKET, Key=ROOT + "small", ChecksumMode="ENABLED")
    assert (head["Metadata"], head["ContentType"]) == ({"colour": "blue"}, "text/plain"), head
    assert bytes_of("small") == SMALL
    did("put")
    for algorithm in ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]:
        answer = s3.put_object(Bucket=BUCKET, Key=ROOT + "sum", Body=io.BytesIO(BIG[:70_000]), ChecksumAlgorithm=algorithm)
        got = s3.get_object(Bucket=BUCKET, Key=ROOT + "sum", ChecksumMode="ENABLED")
        assert got["Body"].read() == BIG[:70_000]
        assert got["Checksum" + algorithm] == answer["Checksum" + algorithm], algorithm
    s3.delete_object(Bucket=BUCKET, Key=ROOT + "sum")
    did("five checksums")
    s3.upload_fileobj(io.BytesIO(BIG), BUCKET, ROOT + "big", Config=PARTS)
    assert s3.head_object(Bucket=BUCKET, Key=ROOT + "big")["ETag"].endswith('-2"')
    did("upload in parts")


def lists():
    for key in AWKWARD:
        s3.put_object(Bucket=BUCKET, Key=ROOT + "names/" + key, Body=key.encode())
    names = ["names/" + key for key in AWKWARD]
    assert keys() == sorted(["small", "big"] + names, key=str.encode), keys()
    assert all(bytes_of(name) == name[len("names/"):].encode() for name in names)
    folders = s3.list_objects_v2(Bucket=BUCKET, Prefix=ROOT, Delimiter="/")["CommonPrefixes"]
    assert folders == [{"Prefix": ROOT + "names/"}], folders
    assert len(s3.list_objects(Bucket=BUCKET, Prefix=ROOT + "names/")["Contents"]) == len(AWKWARD)
    did("list awkward names")


def reads():
    assert bytes_of("big", Range="bytes=5242870-5242890") == BIG[5242870:5242891]
    assert bytes_of("big", Range="bytes=-17") == BIG[-17:]
    refused("InvalidRange", s3.get_object, Key=ROOT + "small", Range="bytes=1000-")
    refused("NoSuchKey", s3.get_object, Key=ROOT + "absent")
    refused("404", s3.head_object, Key=ROOT + "absent")
    did("ranges")
    # In ranges, beside one another, each on the condition that the ETag is still the same.
    fetched = io.BytesIO()
    s3.download_fileobj(BUCKET, ROOT + "big", fetched, Config=PARTS)
    assert fetched.getvalue() == BIG
    did("download in ranges")


def host():
    puts()
    lists()
    reads()
    s3.put_object(Bucket=BUCKET, Key=ROOT + "small", Body=b"overwritten")
    assert bytes_of("small") == b"overwritten"
    refused("PreconditionFailed", s3.put_object, Key=ROOT + "small", Body=b"", IfNoneMatch="*")
    did("overwrite")
    s3.copy_object(Bucket=BUCKET, Key=ROOT + "copy", CopySource={"Bucket": BUCKET, "Key": ROOT + "names/a+b"})
    assert bytes_of("copy") == b"a+b"
    s3.copy({"Bucket": BUCKET, "Key": ROOT + "big"}, BUCKET, ROOT + "copy", Config=PARTS)
    assert bytes_of("copy") == BIG
    did("copy, whole and in parts")
    doomed = [{"Key": ROOT + key} for key in keys() if key.startswith("names/")] + [{"Key": ROOT + "never was"}]
    deleted = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": doomed})
    assert len(deleted["Deleted"]) == len(doomed) and "Errors" not in deleted, deleted
    s3.delete_object(Bucket=BUCKET, Key=ROOT + "copy")
    assert keys() == ["big", "small"], keys()
    assert bytes_of("big") == BIG
    did("delete and restore")
    refused("AccessDenied", s3.put_object, Key="web-02/stolen", Body=b"")
    refused("AccessDenied", s3.get_object, Key="web-02/anything")
    did("refused elsewhere")


def owner():
    assert keys() == ["big", "small"], keys()
    assert bytes_of("big") == BIG
    refused("AccessDenied", s3.put_object, Key=ROOT + "small", Body=b"")
    refused("AccessDenied", s3.delete_object, Key=ROOT + "small")
    did("owner reads")


{"host": host, "owner": owner}[sys.argv[1]]()
