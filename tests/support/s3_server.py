"""A private S3-compatible server on a socket, which checks who signs."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from plantroom_cloud.config_blobs import S3Settings

_MAY_ALL = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}


@dataclass(frozen=True, slots=True)
class S3:
    """Where it is, and who may use it."""

    url: str
    bucket: str
    access_key: str
    secret_key: str

    @property
    def told(self) -> dict[str, str]:
        """What the settings say under `s3`."""
        return {
            "endpoint": self.url,
            "access_key": self.access_key,
            "secret_key": self.secret_key,
        }

    @property
    def settings(self) -> S3Settings:
        """The same, read."""
        return S3Settings.model_validate(self.told)


@contextmanager
def running_s3() -> Iterator[S3]:
    """Yield a server with one bucket; every request must be signed by its user."""
    # Read when it is loaded: so many requests are let in unsigned, those below.
    os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "4"
    import logging

    import boto3
    from moto.core.authorization import ActionAuthenticatorMixin
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    ActionAuthenticatorMixin.request_count = 0
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        url = "http://{}:{}".format(*server.get_host_and_port())
        unknown: dict[str, Any] = {
            "endpoint_url": url,
            "region_name": "us-east-1",
            "aws_access_key_id": "nobody",
            "aws_secret_access_key": "nothing",
        }
        iam = boto3.client("iam", **unknown)
        name = f"plant-{secrets.token_hex(4)}"  # all servers of a process know the same things
        iam.create_user(UserName=name)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        policy = json.dumps(_MAY_ALL)
        iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=policy)
        boto3.client("s3", **unknown).create_bucket(Bucket=name)
        yield S3(url, name, key["AccessKeyId"], key["SecretAccessKey"])
    finally:
        server.stop()
