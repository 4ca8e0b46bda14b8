import { integer, slice, text, toggle, type Values } from "../flags/flag.ts";

export const getFlags = {
  "all-namespaces": toggle({
    short: "A",
    usage:
      "If present, list the requested object(s) across all namespaces. Namespace in current context is ignored even if specified with --namespace.",
  }),
  "allow-missing-template-keys": toggle(
    {
      usage:
        "If true, ignore any errors in templates when a field or map key is missing in the template. Only applies to jsonpath output formats.",
    },
    true,
  ),
  "chunk-size": integer({ usage: "Return large lists in chunks rather than all at once. Pass 0 to disable." }, 500),
  "field-selector": text({
    usage:
      "Selector (field query) to filter on, supports '=', '==', and '!='.(e.g. --field-selector key1=value1,key2=value2). The server only supports a limited number of field queries per type.",
  }),
  filename: slice({ short: "f", usage: "identifying the resource to get from a server." }),
  "ignore-not-found": toggle({ usage: "If the requested object does not exist the command will return exit code 0." }),
  "label-columns": slice({
    short: "L",
    usage:
      "Accepts a comma separated list of labels that are going to be presented as columns. Names are case-sensitive. You can also use multiple flag options like -L label1 -L label2...",
  }),
  "no-headers": toggle({
    usage: "When using the default or custom-column output format, don't print headers (default print headers).",
  }),
  output: text({
    short: "o",
    usage:
      "Output format. One of: (json, yaml, name, jsonpath, jsonpath-as-json, jsonpath-file, custom-columns, custom-columns-file, wide).",
  }),
  "output-watch-events": toggle({
    usage:
      "Output watch event objects when --watch or --watch-only is used. Existing objects are output as initial ADDED events.",
  }),
  raw: text({ usage: "Raw URI to request from the server.  Uses the transport specified by the kubeconfig file." }),
  recursive: toggle({ short: "R", usage: "Process the directory used in -f, --filename recursively." }),
  selector: text({
    short: "l",
    usage:
      "Selector (label query) to filter on, supports '=', '==', '!=', 'in', 'notin'.(e.g. -l key1=value1,key2=value2). Matching objects must satisfy all of the specified label constraints.",
  }),
  "show-kind": toggle({ usage: "If present, list the resource type for the requested object(s)." }),
  "show-labels": toggle({
    usage: "When printing, show all labels as the last column (default hide labels column)",
  }),
  "show-managed-fields": toggle({
    usage: "If true, keep the managedFields when printing objects in JSON or YAML format.",
  }),
  "sort-by": text({
    usage:
      "If non-empty, sort list types using this field specification.  The field specification is expressed as a JSONPath expression (e.g. '{.metadata.name}'). The field in the API resource specified by this JSONPath expression must be an integer or a string.",
  }),
  subresource: text({ usage: "If specified, gets the subresource of the requested object." }),
  watch: toggle({ short: "w", usage: "After listing/getting the requested object, watch for changes." }),
  "watch-only": toggle({
    usage: "Watch for changes to the requested object(s), without listing/getting first.",
  }),
};

export type GetFlags = Values<typeof getFlags>;
