/* The container: its first process, whether it takes commands, its namespaces. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hawser-exec.h"

/*
 * A descriptor of the container's first process, and of none that has got its pid since: the start time is read when
 * the descriptor holds the process, so if it is the recorded one's then so is the descriptor.
 */
int pin_init(const struct request *request) {
  int pidfd = (int)syscall(SYS_pidfd_open, request->init, 0);
  if (pidfd < 0 && errno != ESRCH) fail(errno, "pidfd_open");
  char path[64], stat[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", request->init);
  int file = pidfd < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  ssize_t count = file < 0 ? -1 : read(file, stat, sizeof stat - 1);
  if (file >= 0) close(file);
  stat[count < 0 ? 0 : count] = '\0';
  char *after_name = strrchr(stat, ')'); /* the name may hold anything */
  char state = 'X';
  unsigned long long start = 0;
  if (after_name != NULL) {
    /* Fields 3 and 22 of proc(5). */
    sscanf(after_name + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu", &state, &start);
  }
  if (start != request->start || state == 'Z' || state == 'X') fail(0, "the container `%s` is not running", request->id);
  return pidfd;
}

/* v1's freezer.state says FROZEN, v2's cgroup.freeze 1. A command would hang in there until the container goes on. */
void refuse_paused(const struct request *request) {
  if (request->freezer == NULL) return;
  char state[16] = "";
  int file = open(request->freezer, O_RDONLY | O_CLOEXEC);
  if (file < 0) return; /* no such controller */
  if (read(file, state, sizeof state - 1) < 0) state[0] = '\0';
  close(file);
  if (strncmp(state, "FROZEN", 6) == 0 || state[0] == '1') fail(0, "the container `%s` is paused", request->id);
}

/*
 * Last of the namespaces, when nothing that takes rights of the host's is left to do; its root from there on, which is nobody
 * on the host. Where it has none, so be it: become_user() says who may be become.
 */
static void enter_user_namespace(int pidfd) {
  if (setns(pidfd, CLONE_NEWUSER) < 0) fail(errno, "setns `user`");
  if (setgroups(0, NULL) < 0) fail(errno, "setgroups");
  if ((setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) && errno != EINVAL) fail(errno, "cannot setresuid to 0");
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) fail(errno, "prctl (PR_SET_DUMPABLE)"); /* whatever the host's default is */
}

void enter_namespaces(const struct request *request, int pidfd) {
  int types = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
  if (request->cgroup_namespace) types |= CLONE_NEWCGROUP;
  if (setns(pidfd, types) < 0) {
    if (errno == ESRCH) fail(0, "the container `%s` is not running", request->id);
    fail(errno, "setns(pid=%d, CLONE_*)", request->init);
  }
  if (request->user_namespace) enter_user_namespace(pidfd);
}
