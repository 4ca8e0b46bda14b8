/* The command, between its birth in the container and its own first instruction. */
#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "hawser-exec.h"

void run_command(const struct request *request, struct found *found, const struct sock_fprog *filter, int limiting) {
  if (limiting >= 0) {
    if (write(limiting, "0", 1) < 0) fail(errno, "could not join cgroup");
    close(limiting);
  }
  /* A session, and with it a process group, of its own: `kill 0` in the container is no business of the waiter's. */
  if (setsid() < 0) fail(errno, "setsid");
  if (request->terminal) {
    if (ioctl(0, TIOCSCTTY, 0) < 0) fail(errno, "ioctl TIOCSCTTY");
    write_all(CONTROL, "T", 1);
  }
  if (filter->len > 0 && !request->no_new_privileges) {
    apply_filter(filter);
    set_capabilities(request, 0);
  }
  /* What root could not reach the user may, on a network mount; and /proc/self is in the container only from here on. */
  if (found->error != 0 && !find_executable(request, found->executable)) {
    if (found->error == ENOENT || errno == ENOENT)
      fail(ENOENT, "executable file `%s` not found in $PATH", request->args[0]);
    fail(errno, "open executable");
  }
  if (!found->entered && !enter_directory(request->cwd)) fail(errno, "chdir `%s`", request->cwd);
  if (filter->len > 0 && request->no_new_privileges) apply_filter(filter);
  for (size_t n = 0; n < request->limits_count; n++)
    if (request->limits[n].resource == RLIMIT_NPROC) set_limit(&request->limits[n]); /* lower than the usher's */
  execve(found->executable, request->args, request->env);
  fail(errno, "exec");
}
