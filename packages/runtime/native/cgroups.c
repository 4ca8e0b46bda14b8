/* The exec's own cgroup2 group, and the cgroups of the container that it joins. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hawser-exec.h"

#ifndef CLONE_INTO_CGROUP /* newer than the headers this may be compiled with */
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

/* The directory of the exec's own group, and the one above it when this is the container's first exec. */
void make_group(const char *path) {
  if (mkdir(path, 0755) == 0 || errno == EEXIST) return;
  char above[PATH_MAX];
  const char *name = strrchr(path, '/');
  if (errno == ENOENT && name != NULL && name - path < PATH_MAX) {
    snprintf(above, sizeof above, "%.*s", (int)(name - path), path);
    if ((mkdir(above, 0755) == 0 || errno == EEXIST) && (mkdir(path, 0755) == 0 || errno == EEXIST)) return;
  }
  fail(errno, "make `%s`", path);
}

/*
 * fork(2), into the exec's own group if the kernel does that (5.7). Where it refuses, also for want of pids in a v2
 * container, the usher joins the group as it joins v1's.
 */
pid_t fork_into(const char *group, bool *in_group) {
  *in_group = false;
  if (group != NULL) {
    int directory = open(group, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) fail(errno, "open `%s`", group);
    struct clone_args args = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)directory};
    *in_group = true; /* as the child sees it */
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (pid >= 0) {
      close(directory);
      return pid;
    }
    *in_group = false;
    close(directory);
  }
  return fork();
}

/*
 * Joins a cgroup by a file of it: a thread that moves itself, and it alone (`tasks`, not `cgroup.procs`, and 0 for its
 * number), spares the kernel the lock on all forks and exits, for which it would wait 10 ms and more for the other CPUs
 * (cgroup_procs_write_start() since Linux 6.0). An usher has one thread, so that is all of it. False where there is no such
 * file: a hierarchy may have been mounted when the container was not made for it.
 */
static bool join_cgroup(const char *path) {
  int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0 && errno == ENOENT) return false;
  if (file < 0) fail(errno, "open `%s`", path);
  if (write(file, "0", 1) < 0) fail(errno, "could not join cgroup");
  close(file);
  return true;
}

/*
 * The file of the cgroup that limits the number of processes: v1's pids, or on v2, where there is one group for all, that.
 * NULL where there is none.
 */
const char *limiting_file(const struct request *request) {
  static char file[PATH_MAX];
  if (request->pids != NULL) return request->pids;
  if (request->group == NULL || request->cgroups_count > 0) return NULL;
  snprintf(file, sizeof file, "%s/cgroup.procs", request->group);
  return file;
}

/*
 * `late` is set for a container at its limit of processes. An usher that was within it could not fork, so the command has to
 * join that cgroup itself when it is there, as it has to with the OCI runtime. Returns what it will do so by, or -1.
 */
int join_cgroups(const struct request *request, bool in_group, bool late) {
  const char *limiting = limiting_file(request);
  bool joined = false;
  for (size_t n = 0; n < request->cgroups_count; n++) joined = join_cgroup(request->cgroups[n]) || joined;
  if (in_group) joined = true;
  else if (request->group != NULL && (!late || request->pids != NULL)) {
    char file[PATH_MAX];
    snprintf(file, sizeof file, "%s/cgroup.procs", request->group);
    if (!join_cgroup(file)) fail(ENOENT, "open `%s`", file); /* what stops an exec looks for it there */
    joined = true;
  }
  int descriptor = -1;
  if (late && limiting != NULL) {
    descriptor = open(limiting, O_WRONLY | O_CLOEXEC);
    if (descriptor < 0) fail(errno, "open `%s`", limiting);
    joined = true;
  } else if (request->pids != NULL) joined = join_cgroup(request->pids) || joined;
  if (!joined) fail(0, "could not join cgroup");
  return descriptor;
}
