// Step 3 of 8. Before: client/src/remotecommand.ts. After: streaming/src/proxy/proxy.ts (the bytes).
import { parsePodExecOptions } from "@hawser/api";
import type { UpgradeRequest } from "@hawser/streaming";
import { type ConnectDependencies, connectKubelet, podOf, requireCreate } from "../../../proxy/connect.ts";
import { execPath } from "../../../proxy/kubelet-url.ts";
import type { RequestContext } from "../../../request.ts";
import { chooseContainer, hostOf } from "./container.ts";

/**
 * pods/exec: an authorized request finds its pod, the pod its node, the node its kubelet. Resolves when the session is over.
 *
 * Throws StatusError while nothing was answered: 403 without `create`, 404 for an unknown pod or node, 400 for a container that cannot be
 * chosen or a pod without a node, and last for a request that asks for no upgrade. What comes after the kubelet was dialled, its being down included, the client has been told.
 *
 * Source: kubernetes/kubernetes pkg/registry/core/pod/rest/subresources.go
 */
export async function connectExec(
  dependencies: ConnectDependencies,
  context: RequestContext,
  upgrade: UpgradeRequest | undefined,
): Promise<void> {
  await requireCreate(dependencies, context);
  const options = parsePodExecOptions(context.url.searchParams);
  const pod = await podOf(dependencies, context);
  const container = chooseContainer(pod, options.container);
  const { stdin, stdout, stderr, tty } = options;
  await connectKubelet(dependencies, context, upgrade, {
    nodeName: hostOf(pod),
    path: execPath(pod, container, options),
    kind: "remotecommand",
    streams: { stdin, stdout, stderr, tty },
  });
}
