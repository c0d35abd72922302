/* measure CORE COMMAND...: runs the command on that core and prints, after what it prints itself, "process_cpu" (seconds,
 * user and system, from its first instruction to its last) and "process_peak" (KiB). Its exit status is the command's. */
#define _GNU_SOURCE

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"

/* A core that is not there is no reason to give up: the figures then have more noise. */
static void pin(long core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)core, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

int main(int argc, char **argv)
{
    struct rusage used;
    int status;
    if (argc < 3)
        bench_die("usage: measure CORE COMMAND...");
    pin((long)bench_number(argv[1]));
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        execvp(argv[2], argv + 2);
        bench_die("cannot run %s", argv[2]);
    }
    if (child < 0 || wait4(child, &status, 0, &used) < 0)
        bench_die("cannot run %s", argv[2]);
    bench_print("process_cpu", seconds(used.ru_utime) + seconds(used.ru_stime));
    bench_print("process_peak", (double)used.ru_maxrss);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
