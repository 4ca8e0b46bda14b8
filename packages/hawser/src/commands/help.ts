export const upHelp = `hawser up: start a cluster on this machine; returns when its node is Ready

A second up finds the first, and starts again what of it has died.

  --data-dir DIR            where the cluster lives (default /var/lib/hawser)
  --api-port PORT           the API server's port (default 6443)
  --kubelet-port PORT       the kubelet's port (default 10250)
  --node-name NAME          default: this machine's name
  --node-ip ADDRESS         where the API server reaches the kubelet (default: the address of the default route)
  --pod-cidr CIDR           the pods' addresses (default: a free /24 of 10.88.0.0/16)
  --oci-runtime crun|runc   default: crun where it works, else runc
  --runtime-config FILE     the runtime's configuration: registry mirrors and the like (hawser runtime --help)
  --runtime-endpoint URL    use the CRI runtime at unix://PATH, such as containerd, and start none
  --merge                   also put the cluster into $KUBECONFIG or ~/.kube/config, as context hawser
  -v N                      how much the hops log: 0 to 10

Below DIR: kubeconfig, run/runtime.sock, log/{apiserver,kubelet,runtime}.log
`;

export const downHelp = `hawser down: stop the cluster and remove everything it made

Every process, container, mount, namespace, interface and rule of it; also after a crash. What cannot be
undone keeps nothing else: it is told at the end, with exit code 1, and the next down tries it again.

  --data-dir DIR   where the cluster lives (default /var/lib/hawser)
  --keep-data      keep objects, certificates and images: the next up has the same cluster again
`;

export const statusHelp = `hawser status: what runs, where, and how it does

Exit code 0 when every hop runs and the node is Ready.

  --data-dir DIR   where the cluster lives (default /var/lib/hawser)
`;
