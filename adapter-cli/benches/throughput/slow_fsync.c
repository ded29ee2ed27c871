/* A disk that takes five milliseconds more for every sync: preloaded below the server by the
 * throughput bench. */
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void wait_a_little(void) {
    struct timespec delay = {0, 5 * 1000 * 1000};
    nanosleep(&delay, 0);
}

int fsync(int file) {
    wait_a_little();
    return (int)syscall(SYS_fsync, file);
}

int fdatasync(int file) {
    wait_a_little();
    return (int)syscall(SYS_fdatasync, file);
}
