/* Makes a network namespace and pins it to a file: `hawser-exec netns FILE`. The kernel may take 30 ms for it while others come and go. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "hawser-exec.h"

int run_netns(int count, char **arguments) {
  if (count != 1) return FAILED;
  const char *failed = NULL;
  if (unshare(CLONE_NEWNET) < 0) failed = "unshare of the network";
  else if (mount("/proc/self/ns/net", arguments[0], NULL, MS_BIND, NULL) < 0) failed = "mount of the network namespace";
  if (!failed) return 0;
  fprintf(stderr, "%s: %s\n", failed, strerror(errno));
  return FAILED;
}
