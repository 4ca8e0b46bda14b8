/** What `hawser --help` prints. Each verb and each hop has a --help of its own. */
export const help = `hawser: a Kubernetes on one machine, and every hop of kubectl exec

The cluster of this machine:
  up            start apiserver, kubelet and runtime; returns when the node is Ready
  down          stop them and remove everything they made
  status        what runs, where, and how it does

The client, with kubectl's flags (for any cluster, by kubeconfig):
  run exec attach cp logs port-forward
  get create apply delete wait config

The hops, each alone:
  apiserver     the API server      TLS :6443
  kubelet       the node agent      TLS :10250, over any CRI runtime
  runtime       the CRI runtime     unix socket
  image         a node's images: load, pull, ls, rm

This node, asked of its container runtime (ours, containerd or another CRI one):
  ps images pull inspect stats
  node          these again, and: pods, logs, info
  logs --container-id ID          a container's log from its file; "logs POD" is the client's

  version       print the version

hawser COMMAND --help says more.
`;
