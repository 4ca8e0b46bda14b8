/* How a hybrid host looks to an OCI runtime that refuses one: oci/view.ts. */
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>

#include "hawser-exec.h"

#define UNIFIED "/sys/fs/cgroup/unified"

const char *hide_unified(void) {
  if (unshare(CLONE_NEWNS) < 0) return "unshare";
  if (mount("none", UNIFIED, NULL, MS_PRIVATE, NULL) < 0) return "mount"; /* else the cover would reach the host */
  if (mount("tmpfs", UNIFIED, "tmpfs", 0, "mode=755,size=1m") < 0) return "mount";
  return NULL;
}
