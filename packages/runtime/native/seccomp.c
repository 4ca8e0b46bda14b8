/* The filter that the OCI runtime has compiled: read on the host, loaded by the usher or the command. */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hawser-exec.h"

#define MAX_FILTER (BPF_MAXINSNS * sizeof(struct sock_filter))

struct sock_fprog read_filter(const struct request *request) {
  struct sock_fprog program = {0};
  if (request->seccomp == NULL) return program;
  int file = open(request->seccomp, O_RDONLY | O_CLOEXEC);
  if (file < 0) fail(errno, "open `%s`", request->seccomp);
  char *bytes = need(malloc(MAX_FILTER + 1));
  size_t length = 0;
  ssize_t got;
  while ((got = read(file, bytes + length, MAX_FILTER + 1 - length)) > 0) length += (size_t)got;
  close(file);
  if (got < 0) fail(errno, "read `%s`", request->seccomp);
  /* A filter that is cut short would be another filter. */
  if (length == 0 || length > MAX_FILTER || length % sizeof(struct sock_filter) != 0) fail(EINVAL, "seccomp filter");
  program.len = (unsigned short)(length / sizeof(struct sock_filter));
  program.filter = (struct sock_filter *)bytes;
  return program;
}

void apply_filter(const struct sock_fprog *program) {
  if (program->len == 0) return;
  unsigned flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW; /* what crun takes when a profile names no flags */
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program) == 0) return;
  if (errno == EINVAL && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program) == 0) return;
  fail(errno, "seccomp (SECCOMP_SET_MODE_FILTER)");
}

/*
 * May an usher be under the filter already? It has to fork yet, and the command to begin its session. One that allows no fork is
 * the command's to load, and without no_new_privs that takes CAP_SYS_ADMIN until it is loaded.
 */
bool may_be_loaded_early(const struct request *request, const struct sock_fprog *filter) {
  const int plain[] = {SYS_setsid, SYS_write, SYS_close, SYS_exit_group, SYS_execve};
  for (size_t n = 0; n < sizeof plain / sizeof plain[0]; n++)
    if (!seccomp_allows(filter, plain[n], 0, 0)) return false;
  if (request->terminal && !seccomp_allows(filter, SYS_ioctl, 0, TIOCSCTTY)) return false;
  return seccomp_allows(filter, SYS_clone, BIRTH, 0);
}
