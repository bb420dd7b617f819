/* For LD_PRELOAD: counts what changes or syncs the files of a store, and fails one of these calls, or all from one on.

   FAILING_STATE names a file of 9 numbers of 64 bits that is shared with whoever looks on:
   [0] calls so far; [1] nothing fails any more while this is not 0; [2] what failed first, as a KIND, 0 if nothing;
   [3] how many calls failed; [3 + KIND] calls of this kind so far.
   FAILING_KIND: only calls of this kind are numbered; 0: all. FAILING_AT: the number of the call, from 1; 0 fails none. FAILING_HOW: once, from (from there on), half (a write stops
   in its middle, and the next call fails). FAILING_ERROR: an errno. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

enum kind { WRITE = 1, LENGTH = 2, SYNC = 3, OPEN = 4, REMOVE = 5 };
enum verdict { PASS, HALF, FAIL };

static _Atomic uint64_t *state;
static uint64_t fail_at, fail_kind;
static int fail_error;
static char fail_how;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAILING_STATE"), *at = getenv("FAILING_AT");
    const char *how = getenv("FAILING_HOW"), *error = getenv("FAILING_ERROR");
    const char *kind = getenv("FAILING_KIND");
    if (!path || !at || !how || !error || !kind) return;
    int (*real_open)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    int file = real_open(path, O_RDWR);
    if (file < 0) return;
    void *shared = mmap(NULL, 72, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (shared == MAP_FAILED) return;
    fail_at = strtoull(at, NULL, 10);
    fail_kind = strtoull(kind, NULL, 10);
    fail_error = atoi(error);
    fail_how = how[0];
    state = shared;
}

static int is_store(const char *path) {
    const char *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    return strncmp(name, "postrider.db", 12) == 0 && !strstr(name, "-lock") && !strstr(name, "-shm");
}

static int is_store_file(int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return is_store(path);
}

static enum verdict judge(enum kind kind) {
    uint64_t number = atomic_fetch_add(&state[0], 1) + 1;
    uint64_t of_kind = atomic_fetch_add(&state[3 + kind], 1) + 1;
    if (fail_kind) number = kind == fail_kind ? of_kind : 0;
    if (!fail_at || atomic_load(&state[1])) return PASS;
    if (fail_how == 'h' && kind == WRITE && number == fail_at) return HALF;
    uint64_t last = fail_how == 'f' ? UINT64_MAX : fail_how == 'h' ? fail_at + 1 : fail_at;
    if (number < fail_at || number > last) return PASS;
    uint64_t none = 0;
    atomic_compare_exchange_strong(&state[2], &none, kind);
    atomic_fetch_add(&state[3], 1);
    errno = fail_error;
    return FAIL;
}

#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (!real) real = dlsym(RTLD_NEXT, name)

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    if (!state || !is_store_file(file)) return real(file, bytes, count, at);
    switch (judge(WRITE)) {
        case FAIL: return -1;
        case HALF: return real(file, bytes, count > 1 ? count / 2 : count, at);
        default: return real(file, bytes, count, at);
    }
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) { return pwrite64(file, bytes, count, at); }

ssize_t write(int file, const void *bytes, size_t count) {
    REAL(ssize_t, "write", int, const void *, size_t);
    if (!state || !is_store_file(file)) return real(file, bytes, count);
    return judge(WRITE) == PASS ? real(file, bytes, count) : -1;
}

int ftruncate64(int file, off64_t length) {
    REAL(int, "ftruncate64", int, off64_t);
    if (!state || !is_store_file(file)) return real(file, length);
    return judge(LENGTH) == PASS ? real(file, length) : -1;
}

int ftruncate(int file, off_t length) { return ftruncate64(file, length); }

int fsync(int file) {
    REAL(int, "fsync", int);
    if (!state || !is_store_file(file)) return real(file);
    return judge(SYNC) == PASS ? real(file) : -1;
}

int fdatasync(int file) {
    REAL(int, "fdatasync", int);
    if (!state || !is_store_file(file)) return real(file);
    return judge(SYNC) == PASS ? real(file) : -1;
}

int open64(const char *path, int flags, ...) {
    REAL(int, "open64", const char *, int, ...);
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    if (!state || !(flags & O_CREAT) || !is_store(path)) return real(path, flags, mode);
    return judge(OPEN) == PASS ? real(path, flags, mode) : -1;
}

int open(const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    return open64(path, flags, mode);
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    if (!state || !is_store(path)) return real(path);
    return judge(REMOVE) == PASS ? real(path) : -1;
}
