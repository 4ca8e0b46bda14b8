const common = `
  --runtime-endpoint URL   the CRI socket, unix:///PATH or a path (or the variables
                           HAWSER_RUNTIME_SOCKET or CONTAINER_RUNTIME_ENDPOINT)
  --data-dir DIR           the cluster whose runtime is meant (default: the one in /var/lib/hawser, else the
                           service's, /run/hawser/runtime.sock)
`;

const output = "  -o, --output FORMAT      table, json or yaml; json and yaml have the CRI's own fields";

/** What `hawser node --help` prints. */
export const nodeHelp = `hawser node: what runs on this node, asked of its container runtime and not of the API server

Works with any CRI runtime: ours, containerd, CRI-O. Root's business, as its socket is.

  hawser node ps [-a]           containers
  hawser node pods              sandboxes; the same as ps --pods
  hawser node images [NAME]     images
  hawser node pull NAME         pull an image
  hawser node inspect NAME...   a container, sandbox or image: all that the runtime knows, as JSON
  hawser node stats [NAME...]   CPU, memory and disk of running containers
  hawser node logs NAME         a container's log, from its file
  hawser node info              the runtime: version, conditions, configuration

Short forms, since the client has no such verbs: hawser ps, images, pull, inspect, stats.
"hawser logs POD" stays the client's, through the API server; "hawser logs --container-id ID" is the node's.
${common}
hawser node VERB --help says more.
`;

/** Per verb, behind its usage. */
export const verbHelp: Record<string, string> = {
  ps: `ps: the containers of this node

  -a, --all                those too that do not run
  -s, --state STATE        created, running, exited or unknown
  -p, --pod ID             of this sandbox
  --name PATTERN           whose name this regular expression finds
  --label KEY=VALUE        with this label; several must all be there
  -n, --last N             the N newest, in any state
  -l, --latest             the newest, in any state
  --pods                   sandboxes in place of containers
  -q, --quiet              ids only
  --no-trunc               whole ids
${output}
${common}`,
  pods: `pods: the sandboxes of this node, in every state

  -s, --state STATE        ready or notready
  --name PATTERN           whose name this regular expression finds
  --namespace NAMESPACE    of this namespace
  --label KEY=VALUE        with this label; several must all be there
  -n, --last N             the N newest
  -l, --latest             the newest
  -q, --quiet              ids only
  --no-trunc               whole ids
${output}
${common}`,
  images: `images [NAME]: the images of this node

  --digests                a column with their digests
  -q, --quiet              ids only
  --no-trunc               whole ids
${output}
${common}
"hawser image" also loads archives and removes images.
`,
  pull: `pull NAME: pull an image, by the runtime and with its configuration

  --creds USER:PASSWORD    for the image's registry; others on this machine can see it while the pull runs:
                           what is needed often belongs into the runtime's configuration
${common}`,
  inspect: `inspect NAME...: what the runtime knows, as JSON

A NAME is a container's, a sandbox's (POD or NAMESPACE/POD) or an image's, or the beginning of an id. A whole id counts
before a name, a name before the beginning of an id; with equal names a container comes before a sandbox and a sandbox before an
image, and of a container's restarts the newest is meant. What could still be several is refused, with a list.

  --type KIND              container, sandbox or image: look only there
  -o, --output FORMAT      json (default) or yaml
${common}`,
  stats: `stats [NAME...]: CPU, memory and disk of running containers

  -p, --pod ID             of this sandbox
  --label KEY=VALUE        with this label; several must all be there
  -w, --watch              again and again, until Ctrl-C
  --seconds N              the time over which CPU is measured, and between two tables (default 1)
  --no-trunc               whole ids
${output}
${common}`,
  logs: `logs NAME: a container's log, from its file on this node; its rotated files too

NAME is a container's name or the beginning of its id. stdout goes to stdout, stderr to stderr.

  -f, --follow             go on until the container ends
  --tail N                 only the last N lines
  --since TIME             only from then on: 10s, 5m, 3h, or an RFC 3339 time
  -t, --timestamps         each line with its time
  --container-id ID        in place of NAME: so that "hawser logs --container-id ID" works as well
${common}`,
  info: `info: the runtime, as JSON

  -o, --output FORMAT      json (default) or yaml
${common}`,
};
