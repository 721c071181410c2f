"""Files of usage into records: one module per kind of file, none of which knows the database."""

from . import ceph_traffic, kubernetes, licenses, storage
from .azure_openai import AZURE_OPENAI
from .columns import COLUMNS
from .kinds import BATCH_RECORDS, BadSettings, Kind, Tally
from .litellm import LITELLM
from .openai import OPENAI
from .slurm import SLURM

# Every kind, by the name a feed has it by.
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        SLURM,
        storage.KIND,
        ceph_traffic.KIND,
        licenses.KIND,
        kubernetes.KIND,
        LITELLM,
        OPENAI,
        AZURE_OPENAI,
        COLUMNS,
    )
}

__all__ = ["BATCH_RECORDS", "KINDS", "BadSettings", "Kind", "Tally"]
