"""What is run: one file per program, imported here. The order is that of the table; the longest are started
first."""
from . import cpython, postgresql, nginx, redis, stress_ng, compilers, git, java, node, sqlite, openssl, perl, bash, tar  # noqa: F401
