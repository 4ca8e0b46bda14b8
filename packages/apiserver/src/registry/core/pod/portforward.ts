import { parsePodPortForwardOptions } from "@hawser/api";
import type { UpgradeRequest } from "@hawser/streaming";
import { type ConnectDependencies, connectKubelet, podOf, requireCreate } from "../../../proxy/connect.ts";
import { portForwardPath } from "../../../proxy/kubelet-url.ts";
import type { RequestContext } from "../../../request.ts";
import { hostOf } from "./container.ts";

/** pods/portforward: a pod has one network, so no container is chosen. Throws StatusError as `connectExec` does. */
export async function connectPortForward(
  dependencies: ConnectDependencies,
  context: RequestContext,
  upgrade: UpgradeRequest | undefined,
): Promise<void> {
  await requireCreate(dependencies, context);
  const options = parsePodPortForwardOptions(context.url.searchParams);
  const pod = await podOf(dependencies, context);
  await connectKubelet(dependencies, context, upgrade, {
    nodeName: hostOf(pod),
    path: portForwardPath(pod, options),
    kind: "portforward",
  });
}
