"""A /dev/shm of our own, so that what programs leave there is known to be theirs."""
import ctypes
import os

CLONE_NEWNS = 0x20000
MS_REC_PRIVATE = 0x4000 | 0x40000


def take_own():
    """Gives this process and its descendants an empty /dev/shm that goes with them. False where the
    process may not: then /dev/shm is the one of everybody."""
    libc = ctypes.CDLL(None, use_errno=True)
    return (
        libc.unshare(CLONE_NEWNS) == 0
        and libc.mount(None, b"/", None, MS_REC_PRIVATE, None) == 0
        and libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", 0, b"mode=1777") == 0)


def names():
    return {os.path.join(directory, name)
            for directory, _, names in os.walk("/dev/shm") for name in names}
