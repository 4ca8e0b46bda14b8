import { parsePodAttachOptions } from "@hawser/api";
import type { UpgradeRequest } from "@hawser/streaming";
import { type ConnectDependencies, connectKubelet, podOf, requireCreate } from "../../../proxy/connect.ts";
import { attachPath } from "../../../proxy/kubelet-url.ts";
import type { RequestContext } from "../../../request.ts";
import { chooseContainer, hostOf } from "./container.ts";

/** pods/attach: as exec, to a process that runs already. Throws StatusError as `connectExec` does. */
export async function connectAttach(
  dependencies: ConnectDependencies,
  context: RequestContext,
  upgrade: UpgradeRequest | undefined,
): Promise<void> {
  await requireCreate(dependencies, context);
  const options = parsePodAttachOptions(context.url.searchParams);
  const pod = await podOf(dependencies, context);
  const container = chooseContainer(pod, options.container);
  const { stdin, stdout, stderr, tty } = options;
  await connectKubelet(dependencies, context, upgrade, {
    nodeName: hostOf(pod),
    path: attachPath(pod, container, options),
    kind: "remotecommand",
    streams: { stdin, stdout, stderr, tty },
  });
}
