"""S3 and R2, with the options that keep memory small and a half upload from ever being seen."""

from __future__ import annotations

from typing import Any

from boto3.s3.transfer import TransferConfig
from storages.backends.s3 import S3Storage

_MIB = 1024 * 1024


class BackupS3Storage(S3Storage):
    """Uploads in parts, one at a time, as each costs memory.

    S3 shows an object when its last part has come, and a failure aborts the upload.
    Files are read by way of a temporary file, as they may be larger than memory.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(
            **{
                "default_acl": None,
                "file_overwrite": True,
                "querystring_auth": True,
                "max_memory_size": 2 * _MIB,
                "transfer_config": TransferConfig(multipart_chunksize=5 * _MIB, use_threads=False),
                **options,
            }
        )
