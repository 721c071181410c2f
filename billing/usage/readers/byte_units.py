"""The units that bytes are priced and shown in."""

# By a thousand as vendors of disks count, and by 1,024 as file systems do.
BYTES = {
    "byte": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate("kMGTP", 1)},
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGTP", 1)},
}
