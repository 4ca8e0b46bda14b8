/* The request, as the runtime has encoded it (oci/exec-request.ts). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hawser-exec.h"

#define MAX_REQUEST (8 * 1024 * 1024) /* more than the kernel takes for arguments and environment together */

static void read_all(int fd, void *bytes, size_t count) {
  while (count > 0) {
    ssize_t got = read(fd, bytes, count);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) _exit(FAILED); /* the runtime has gone, or has nothing to ask any more */
    bytes = (char *)bytes + got;
    count -= (size_t)got;
  }
}

static unsigned long long number(const char *text, int base) {
  char *end;
  errno = 0;
  unsigned long long value = strtoull(text, &end, base);
  if (errno != 0 || end == text || *end != '\0') fail(EINVAL, "number `%s` of the request", text);
  return value;
}

/* The value of field `name`, or NULL when `field` is another. */
static char *value_of(char *field, const char *name) {
  size_t length = strlen(name);
  return strncmp(field, name, length) == 0 && field[length] == '=' ? field + length + 1 : NULL;
}

static void read_field(struct request *request, char *field) {
  char *value;
  /* In the order of how often they come. */
  if ((value = value_of(field, "env"))) request->env[request->env_count++] = value;
  else if ((value = value_of(field, "arg"))) request->args[request->args_count++] = value;
  else if ((value = value_of(field, "cgroup"))) {
    if (request->cgroups_count == MAX_CGROUPS) fail(E2BIG, "cgroups of the request");
    request->cgroups[request->cgroups_count++] = value;
  } else if ((value = value_of(field, "pids"))) request->pids = value;
  else if ((value = value_of(field, "gids"))) request->groups[request->groups_count++] = (gid_t)number(value, 10);
  else if ((value = value_of(field, "id"))) request->id = value;
  else if ((value = value_of(field, "init"))) request->init = (pid_t)number(value, 10);
  else if ((value = value_of(field, "start"))) request->start = number(value, 10);
  else if ((value = value_of(field, "group"))) request->group = value;
  else if ((value = value_of(field, "freezer"))) request->freezer = value;
  else if ((value = value_of(field, "seccomp"))) request->seccomp = value;
  else if ((value = value_of(field, "cgroupns"))) request->cgroup_namespace = true;
  else if ((value = value_of(field, "userns"))) request->user_namespace = true;
  else if ((value = value_of(field, "pipeuid"))) request->pipe_uid = (uid_t)number(value, 10);
  else if ((value = value_of(field, "pipegid"))) request->pipe_gid = (gid_t)number(value, 10);
  else if ((value = value_of(field, "tty"))) {
    request->terminal = true;
    if (sscanf(value, "%hux%hu", &request->size.ws_col, &request->size.ws_row) != 2) fail(EINVAL, "terminal size");
  } else if ((value = value_of(field, "cwd"))) request->cwd = value;
  else if ((value = value_of(field, "uid"))) request->uid = (uid_t)number(value, 10);
  else if ((value = value_of(field, "gid"))) request->gid = (gid_t)number(value, 10);
  else if ((value = value_of(field, "bounding"))) request->bounding = number(value, 16);
  else if ((value = value_of(field, "permitted"))) request->permitted = number(value, 16);
  else if ((value = value_of(field, "effective"))) request->effective = number(value, 16);
  else if ((value = value_of(field, "inheritable"))) request->inheritable = number(value, 16);
  else if ((value = value_of(field, "ambient"))) request->ambient = number(value, 16);
  else if ((value = value_of(field, "nonewprivileges"))) request->no_new_privileges = true;
  else if ((value = value_of(field, "umask"))) request->umask = (mode_t)number(value, 8);
  else if ((value = value_of(field, "oom"))) request->oom_score_adj = value;
  else if ((value = value_of(field, "apparmor"))) request->apparmor = value;
  else if ((value = value_of(field, "rlimit"))) {
    struct limit *limit = &request->limits[request->limits_count++];
    unsigned long long soft, hard;
    if (sscanf(value, "%d:%llu:%llu", &limit->resource, &soft, &hard) != 3) fail(EINVAL, "limit `%s`", value);
    limit->value = (struct rlimit){.rlim_cur = soft, .rlim_max = hard};
  } else fail(EINVAL, "field `%.20s` of the request", field); /* never guess what the runtime meant */
}

struct request read_request(void) {
  uint32_t length;
  read_all(CONTROL, &length, sizeof length);
  if (length == 0 || length > MAX_REQUEST) fail(E2BIG, "request of %u bytes", length);
  char *text = need(malloc(length));
  read_all(CONTROL, text, length);
  if (text[length - 1] != '\0') fail(EINVAL, "request");
  size_t fields = 0;
  for (uint32_t at = 0; at < length; at++) fields += text[at] == '\0';
  struct request request = {
      .cwd = "/",
      .id = "",
      .umask = 0022,
      .args = need(calloc(fields + 1, sizeof(char *))),
      .env = need(calloc(fields + 1, sizeof(char *))),
      .groups = need(calloc(fields + 1, sizeof(gid_t))),
      .limits = need(calloc(fields + 1, sizeof(struct limit))),
  };
  for (char *field = text; field < text + length; field += strlen(field) + 1) read_field(&request, field);
  if (request.init <= 0 || request.start == 0 || request.args_count == 0) fail(EINVAL, "request");
  return request;
}
