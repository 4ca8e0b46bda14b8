import type { ContainerConfigSchema, MessageInitShape } from "@hawser/cri";
import type { KubeletContext } from "../context.ts";
import { environment } from "./environment.ts";
import { expand } from "./expand.ts";
import type { PulledImage } from "./images.ts";
import { containerAnnotations, containerLabels } from "./labels.ts";
import { containerMounts } from "./mounts.ts";
import { containerLogPath } from "./paths.ts";
import type { BoundPod, PodContainer } from "./pod.ts";
import { linuxResources } from "./resources.ts";
import { containerSecurity } from "./security.ts";

export interface ContainerInputs {
  image: PulledImage;
  /** From setUpVolumes. */
  volumes: Map<string, string>;
  podIPs: string[];
  attempt: number;
  /** The running container that an ephemeral one looks into. */
  targetId?: string | undefined;
}

/** What CreateContainer is asked for. Throws ContainerConfigError. */
export async function containerConfig(
  context: Pick<KubeletContext, "settings" | "folders" | "client" | "facts">,
  pod: BoundPod,
  { container }: PodContainer,
  { image, volumes, podIPs, attempt, targetId }: ContainerInputs,
): Promise<MessageInitShape<typeof ContainerConfigSchema>> {
  const { settings, folders, facts } = context;
  const variables = await environment(context, pod, container, { ...facts, podIPs });
  const expanded = (texts: string[] = []) => texts.map((text) => expand(text, (name) => variables.get(name)));
  const security = containerSecurity(pod, container, {
    imageUser: image,
    targetId,
    seccompDefault: settings.seccompDefault,
    rootDir: settings.rootDir,
  });
  return {
    metadata: { name: container.name, attempt },
    image: { image: image.ref, userSpecifiedImage: container.image ?? "" },
    command: expanded(container.command),
    args: expanded(container.args),
    workingDir: container.workingDir ?? "",
    envs: [...variables].map(([key, value]) => ({ key, value: Buffer.from(value) })),
    mounts: await containerMounts({ folders, volumes, environment: variables }, pod, container),
    labels: containerLabels(pod, container),
    annotations: containerAnnotations(pod, container, attempt),
    logPath: containerLogPath(container.name, attempt),
    stdin: container.stdin ?? false,
    stdinOnce: container.stdinOnce ?? false,
    tty: container.tty ?? false,
    linux: { resources: linuxResources(pod, container, facts.allocatable.memory), securityContext: security },
  };
}
