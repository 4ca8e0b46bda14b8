/* The usher: from the host into the container, and there without a right that the container has not. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hawser-exec.h"

void set_limit(const struct limit *limit) {
  if (setrlimit((__rlimit_resource_t)limit->resource, &limit->value) < 0) fail(errno, "setrlimit `%d`", limit->resource);
}

/* What takes the host's rights, and its paths. */
static void settle(const struct request *request) {
  if (request->oom_score_adj != NULL) {
    int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (file < 0 || write(file, request->oom_score_adj, strlen(request->oom_score_adj)) < 0)
      fail(errno, "write to /proc/self/oom_score_adj");
    close(file);
  }
  if (request->apparmor != NULL) set_profile(request->apparmor);
  /* So that the command can open its own pipes again by name. */
  for (int fd = 0; fd <= 2; fd++) {
    struct stat status;
    if (fstat(fd, &status) < 0 || !S_ISFIFO(status.st_mode)) continue; /* never /dev/null, which is everybody's */
    if (fchown(fd, request->pipe_uid, request->pipe_gid) < 0) fail(errno, "fchown std stream %d", fd);
  }
  /* Raising one takes a right that nobody in a user namespace has. */
  for (size_t n = 0; n < request->limits_count; n++) {
    struct limit limit = request->limits[n];
    /* The usher itself is one of the user's processes for a moment: without it, so many are left as were asked for. run_command() sets the rest. */
    if (limit.resource == RLIMIT_NPROC) {
      if (limit.value.rlim_cur != RLIM_INFINITY) limit.value.rlim_cur++;
      if (limit.value.rlim_max != RLIM_INFINITY) limit.value.rlim_max++;
    }
    set_limit(&limit);
  }
}

/*
 * All that takes rights which the container has not, and then nothing is left of them: no capability, no descriptor but the
 * streams and the pipe to the waiter. Only then is the command born, in the container's PID namespace. It is the waiter's child.
 */
void run_usher(const struct request *request, struct sock_fprog *filter, int pidfd, bool in_group, bool late) {
  struct found found = {0};
  int limiting = join_cgroups(request, in_group, late);
  settle(request);
  enter_namespaces(request, pidfd);
  if (request->terminal) open_terminal(request);
  tell_stderr = !request->terminal;
  if (limiting >= 0 && (limiting = dup3(limiting, KEPT, O_CLOEXEC)) < 0) fail(errno, "dup3");
  if (syscall(SYS_close_range, limiting >= 0 ? KEPT + 1 : KEPT, ~0U, 0) < 0) fail(errno, "close_range");

  /* As root first, which may be what a directory wants; as the user in run_command(), which may be what a network mount wants. */
  found.entered = enter_directory(request->cwd);
  if (!find_executable(request, found.executable)) found.error = errno;

  umask(request->umask);
  limit_bounding_set(request->bounding);
  /* Without no_new_privs a filter takes CAP_SYS_ADMIN, so it comes first then; with it, last, and so needs to allow less. */
  const bool early = filter->len > 0 && may_be_loaded_early(request, filter);
  if (early && !request->no_new_privileges) apply_filter(filter);
  const bool admin = filter->len > 0 && !early && !request->no_new_privileges;
  become_user(request, admin ? UINT64_C(1) << CAP_SYS_ADMIN : 0);
  if (request->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) fail(errno, "no new privs");
  if (early && request->no_new_privileges) apply_filter(filter);
  if (early) filter->len = 0;

  long pid = syscall(SYS_clone, BIRTH, 0, 0, 0, 0);
  if (pid == 0) run_command(request, &found, filter, limiting);
  if (pid > 0) _exit(0);
  if (errno == EAGAIN && !late && limiting_file(request) != NULL) _exit(NO_ROOM);
  /* The kernel's answer in a PID namespace whose first process is gone. */
  if (errno == ENOMEM && kill(request->init, 0) < 0 && errno == ESRCH)
    fail(0, "the container `%s` is not running", request->id);
  fail(errno, "fork");
}
