import { text, texts, toggle, type Values } from "../flags/flag.ts";
import { peerTimeoutFlag, podRunningTimeout } from "./stream-flags.ts";

export const runFlags = {
  annotations: texts({ usage: "Annotations to apply to the pod." }),
  attach: toggle({
    usage:
      "If true, wait for the Pod to start running, and then attach to the Pod as if 'hawser attach ...' were called.  Default false, unless '-i/--stdin' is set, in which case the default is true. With '--restart=Never' the exit code of the container process is returned.",
  }),
  command: toggle({
    usage:
      "If true and extra arguments are present, use them as the 'command' field in the container, rather than the 'args' field which is the default.",
  }),
  "dry-run": text(
    {
      usage:
        'Must be "none", "server", or "client". If client strategy, only print the object that would be sent, without sending it. If server strategy, submit server-side request without persisting the resource.',
    },
    "none",
    { bare: "unchanged" },
  ),
  env: texts({ usage: "Environment variables to set in the container." }),
  "field-manager": text({ usage: "Name of the manager used to track field ownership." }, "kubectl-run"),
  image: text({ usage: "The image for the container to run." }),
  "image-pull-policy": text({
    usage:
      "The image pull policy for the container.  If left empty, this value will not be specified by the client and defaulted by the server.",
  }),
  labels: text({ short: "l", usage: "Comma separated labels to apply to the pod. Will override previous values." }),
  "leave-stdin-open": toggle({
    usage:
      "If the pod is started in interactive mode or with stdin, leave stdin open after the first attach completes. By default, stdin will be closed after the first attach completes.",
  }),
  output: text({
    short: "o",
    usage: "Output format. One of: (json, yaml, name, jsonpath, jsonpath-as-json, jsonpath-file).",
  }),
  overrides: text({
    usage:
      "An inline JSON override for the generated object. If this is non-empty, it is used to override the generated object. Requires that the object supply a valid apiVersion field.",
  }),
  "pod-running-timeout": podRunningTimeout(60_000),
  port: text({ usage: "The port that this container exposes." }),
  privileged: toggle({ usage: "If true, run the container in privileged mode." }),
  quiet: toggle({ short: "q", usage: "If true, suppress prompt messages." }),
  restart: text({ usage: "The restart policy for this Pod.  Legal values [Always, OnFailure, Never]." }, "Always"),
  rm: toggle({
    usage:
      "If true, delete the pod after it exits.  Only valid when attaching to the container, e.g. with '--attach' or with '-i/--stdin'.",
  }),
  stdin: toggle({
    short: "i",
    usage: "Keep stdin open on the container in the pod, even if nothing is attached.",
  }),
  "stream-peer-timeout": peerTimeoutFlag,
  tty: toggle({ short: "t", usage: "Allocate a TTY for the container in the pod." }),
};

export type RunFlags = Values<typeof runFlags>;
