"""Stores COUNT objects of BYTES bytes with boto3's defaults, one after the other; prints the microseconds of each."""

import io
import sys
import time

import boto3
from botocore.config import Config

bucket, prefix, count, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
body = bytes(i * 31 & 0xFF for i in range(size))
for number in range(count):
    begun = time.perf_counter()
    # A file, as backup programs send: boto3 then asks first whether it may (Expect: 100-continue).
    s3.put_object(Bucket=bucket, Key=f"{prefix}/{number}", Body=io.BytesIO(body))
    print(round((time.perf_counter() - begun) * 1e6))
