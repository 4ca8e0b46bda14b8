/* What a command may: AppArmor profile, keyring, user and groups, capabilities. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hawser-exec.h"

/* From the command's execve on, as a fork hands it on. The former place is of kernels before 5.8. */
void set_profile(const char *profile) {
  int file = open("/proc/self/attr/apparmor/exec", O_WRONLY | O_CLOEXEC);
  if (file < 0 && errno == ENOENT) file = open("/proc/self/attr/exec", O_WRONLY | O_CLOEXEC);
  /* In one write, as the kernel takes it, and of a page at most. */
  char words[4096];
  const int length = snprintf(words, sizeof words, "exec %s", profile);
  if (length >= (int)sizeof words) fail(ENAMETOOLONG, "set the AppArmor profile `%.100s`", profile);
  if (file < 0 || write(file, words, (size_t)length) != length) fail(errno, "set the AppArmor profile `%s`", profile);
  close(file);
}

/*
 * The host's session keyring would be the command's as well (the OCI runtime leaves it so), keys and all. A new one, empty.
 */
void leave_keyring(void) {
  if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS && errno != EDQUOT)
    fail(errno, "create keyring");
}

void limit_bounding_set(uint64_t kept) {
  for (int capability = 0; capability < 64; capability++) {
    if ((kept >> capability) & 1) continue;
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    if (errno == EINVAL) return; /* past the last one there is */
    fail(errno, "prctl drop bounding");
  }
}

/* `more` are permitted and effective besides. */
void set_capabilities(const struct request *request, uint64_t more) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct sets[2];
  for (int half = 0; half < 2; half++) {
    sets[half].effective = (uint32_t)((request->effective | more) >> (32 * half));
    sets[half].permitted = (uint32_t)((request->permitted | more) >> (32 * half));
    sets[half].inheritable = (uint32_t)(request->inheritable >> (32 * half));
  }
  if (syscall(SYS_capset, &header, sets) < 0) fail(errno, "capset");
}

void become_user(const struct request *request, uint64_t more) {
  if (setgroups(request->groups_count, request->groups) < 0) fail(errno, "setgroups");
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) fail(errno, "error while setting PR_SET_KEEPCAPS");
  if (setresgid(request->gid, request->gid, request->gid) < 0) fail(errno, "cannot setresgid to %u", request->gid);
  if (setresuid(request->uid, request->uid, request->uid) < 0) fail(errno, "cannot setresuid to %u", request->uid);
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) fail(errno, "prctl (PR_SET_DUMPABLE)"); /* a change of user sets the host's default */
  set_capabilities(request, more);
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) fail(errno, "prctl reset ambient");
  for (int capability = 0; capability < 64; capability++) {
    if (((request->ambient >> capability) & 1) == 0) continue;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0) fail(errno, "prctl ambient raise");
  }
}
