/*
 * Stands between conmon and the OCI runtime that makes a container: `hawser-exec create NULL OWNER VIEW PROGRAM ARGUMENT...`.
 *
 * A standard descriptor that is a device is conmon's own /dev/null. It is replaced by NULL, one that changes nothing on the node:
 * a container's root could chmod it, and crun gives it to the root of a user namespace. Pipes are given to OWNER, `UID:GID` or `-`, so that
 * the container's own root can open them anew. VIEW is `hybrid` for a host without the v2 half of its cgroups, and `host` for the host as it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hawser-exec.h"

static int NEVER_RETURNS refuse(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  _exit(127);
}

int run_create(int count, char **arguments) {
  unsigned uid, gid;
  if (count < 4) {
    fputs("hawser-exec create: too few arguments\n", stderr);
    return FAILED;
  }
  const char *null = arguments[0];
  const bool given = strcmp(arguments[1], "-") != 0;
  if (given && sscanf(arguments[1], "%u:%u", &uid, &gid) != 2) return FAILED;
  for (int fd = 0; fd <= 2; fd++) {
    struct stat status;
    if (fstat(fd, &status) < 0) continue;
    if (given && S_ISFIFO(status.st_mode) && fchown(fd, uid, gid) < 0) refuse("fchown of a standard stream");
    if (!S_ISCHR(status.st_mode)) continue;
    const int other = open(null, O_RDWR | O_CLOEXEC);
    if (other < 0 || dup2(other, fd) < 0) refuse(null);
  }
  const char *failed = strcmp(arguments[2], "hybrid") == 0 ? hide_unified() : NULL;
  if (failed) {
    fprintf(stderr, "hiding the v2 half of the cgroups: ");
    refuse(failed);
  }
  execv(arguments[3], arguments + 3);
  refuse(arguments[3]);
}
