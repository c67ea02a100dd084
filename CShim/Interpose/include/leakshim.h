// The shim as a program may call it. Both functions exist only where the shim is loaded, so a program
// that also runs without it declares them weak, as this header does, and tests before it calls:
//
//     if (leakshim_snapshot != NULL) leakshim_snapshot("after-warm-up");
#ifndef LEAKSHIM_H
#define LEAKSHIM_H

#ifdef __cplusplus
extern "C" {
#endif

// Writes a copy of what is recorded as "<pid>.<start-ticks>.<name>.copy" to the recording directory
// ($LEAKPROF_DIR, else /dev/shm/leakprof-<uid>); `leakprof` takes the file wherever it takes a
// snapshot. Blocks allocated from now on belong to a new birth epoch. `name` has up to 32 letters,
// digits, '-' and
// '_'; a copy of the same name is replaced; NULL numbers the copy.
//
// Returns 0 or a negated errno: -EINVAL for a name, -ENODATA when nothing is recorded, what the file
// system said otherwise. Any thread, also in a signal handler; allocates nothing.
__attribute__((weak)) int leakshim_snapshot(const char *name);

// The shim's version, "major.minor.patch"; a static string.
__attribute__((weak)) const char *leakshim_version(void);

#ifdef __cplusplus
}
#endif

#endif
