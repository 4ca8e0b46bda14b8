/**
 * Replaces `$(NAME)` by its value. `$$` is a plain `$`, so `$$(NAME)` stays as `$(NAME)`; an unknown name stays as it is.
 *
 * Source: kubernetes third_party/forked/golang/expansion/expand.go
 */
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  return text.replace(/\$(\$|\(([^)]*)\))/g, (whole, what: string, name: string) => {
    if (what === "$") return "$";
    return lookup(name) ?? whole;
  });
}
