/* What is executed, and in which directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hawser-exec.h"

/* An executable file, or -1 with errno. */
static int check_executable(const char *path) {
  struct stat status;
  if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 || stat(path, &status) < 0) return -1;
  if (S_ISREG(status.st_mode)) return 0;
  errno = EPERM;
  return -1;
}

static const char *path_variable(char **env) {
  for (; *env != NULL; env++)
    if (strncmp(*env, "PATH=", 5) == 0) return *env + 5;
  return NULL;
}

/* Writes the path of `name` into `found`. False with errno: ENOENT, or what a candidate failed with. */
bool find_executable(const struct request *request, char found[PATH_MAX]) {
  const char *name = request->args[0];
  if (name[0] == '.' || strchr(name, '/') != NULL) {
    int length = name[0] == '/' ? snprintf(found, PATH_MAX, "%s", name)
                                : snprintf(found, PATH_MAX, "%s/%s", request->cwd, name);
    if (length >= PATH_MAX) {
      errno = ENAMETOOLONG;
      return false;
    }
    return check_executable(found) == 0;
  }
  int reason = ENOENT;
  const char *path = path_variable(request->env);
  while (path != NULL) {
    const char *end = strchrnul(path, ':');
    size_t length = (size_t)(end - path);
    const char *directory = length == 0 ? "." : path;
    if (length == 0) length = 1;
    if (length < PATH_MAX && snprintf(found, PATH_MAX, "%.*s/%s", (int)length, directory, name) < PATH_MAX) {
      if (check_executable(found) == 0) return true;
      if (errno != ENOENT) reason = errno;
    } else {
      reason = ENAMETOOLONG;
    }
    path = *end == ':' ? end + 1 : NULL;
  }
  errno = reason;
  return false;
}

/*
 * The working directory has to be in the container: with a descriptor of the host's, leaked or stolen, it could be one
 * of the host's (CVE-2024-21626). The kernel calls such a one unreachable.
 */
bool enter_directory(const char *directory) {
  char reached[PATH_MAX];
  if (chdir(directory) < 0) return false;
  if (syscall(SYS_getcwd, reached, sizeof reached) < 0) fail(errno, "getcwd");
  if (reached[0] != '/') fail(0, "chdir `%s`: outside of the container", directory);
  return true;
}
