import { allContainers, type Container, type Pod, type PodSpec, type Probe, type Volume } from "@hawser/api";

/** Seconds a pod stays on a node that is not ready or not reachable. Source: the DefaultTolerationSeconds admission plugin */
const tolerationSeconds = 300;

/**
 * What the real server adds to a new pod, its default admission plugins included.
 *
 * Source: kubernetes/kubernetes pkg/apis/core/v1/defaults.go
 */
export function defaultPod(pod: Pod): void {
  const spec = pod.spec;
  if (!spec) return;
  setDefaults(spec, {
    restartPolicy: "Always",
    dnsPolicy: "ClusterFirst",
    schedulerName: "default-scheduler",
    terminationGracePeriodSeconds: 30,
    securityContext: {},
    enableServiceLinks: true,
    priority: 0,
    preemptionPolicy: "PreemptLowerPriority",
  });
  const account = spec.serviceAccountName || spec.serviceAccount || "default";
  Object.assign(spec, { serviceAccountName: account, serviceAccount: account });
  for (const container of allContainers(spec)) defaultContainer(container, spec);
  for (const volume of spec.volumes ?? []) defaultVolume(volume);
  spec.tolerations = withNodeTolerations(spec.tolerations);
}

function defaultContainer(container: Container, { hostNetwork }: PodSpec): void {
  setDefaults(container, {
    terminationMessagePath: "/dev/termination-log",
    terminationMessagePolicy: "File",
    imagePullPolicy: isLatest(container.image ?? "") ? "Always" : "IfNotPresent",
    resources: {},
  });
  for (const port of container.ports ?? []) {
    setDefaults(port, { protocol: "TCP" });
    if (hostNetwork) setDefaults(port, { hostPort: port.containerPort });
  }
  for (const { valueFrom } of container.env ?? []) {
    if (valueFrom?.fieldRef) setDefaults(valueFrom.fieldRef, { apiVersion: "v1" });
  }
  const { limits, requests } = container.resources ?? {};
  if (container.resources && limits) container.resources.requests = { ...limits, ...requests };
  for (const probe of [container.livenessProbe, container.readinessProbe, container.startupProbe]) {
    if (probe) defaultProbe(probe);
  }
  for (const handler of [container.lifecycle?.postStart, container.lifecycle?.preStop]) {
    if (handler?.httpGet) setDefaults(handler.httpGet, { path: "/", scheme: "HTTP" });
  }
}

function defaultProbe(probe: Probe): void {
  probe.timeoutSeconds ||= 1;
  probe.periodSeconds ||= 10;
  probe.successThreshold ||= 1;
  probe.failureThreshold ||= 3;
  if (probe.httpGet) setDefaults(probe.httpGet, { path: "/", scheme: "HTTP" });
  if (probe.grpc) setDefaults(probe.grpc, { service: "" });
}

function defaultVolume(volume: Volume): void {
  if (Object.keys(volume).every((key) => key === "name")) volume.emptyDir = {};
  for (const source of [volume.secret, volume.configMap, volume.downwardAPI, volume.projected]) {
    if (source) setDefaults(source, { defaultMode: 0o644 });
  }
  for (const { fieldRef } of volume.downwardAPI?.items ?? []) {
    if (fieldRef) setDefaults(fieldRef, { apiVersion: "v1" });
  }
  for (const { serviceAccountToken } of volume.projected?.sources ?? []) {
    if (serviceAccountToken) setDefaults(serviceAccountToken, { expirationSeconds: 3600 });
  }
  if (volume.hostPath) setDefaults(volume.hostPath, { type: "" });
}

/** `latest`, said or not: no digest, and no other tag behind the last slash. */
function isLatest(image: string): boolean {
  if (image.includes("@")) return false;
  const tag = /:([^/:]*)$/.exec(image)?.[1];
  return tag === undefined || tag === "latest";
}

function withNodeTolerations(tolerations: PodSpec["tolerations"] = []): NonNullable<PodSpec["tolerations"]> {
  const added = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"].filter(
    (key) => !tolerations.some((one) => (one.key === key || !one.key) && (one.effect === "NoExecute" || !one.effect)),
  );
  return [...tolerations, ...added.map((key) => ({ key, operator: "Exists", effect: "NoExecute", tolerationSeconds }))];
}

function setDefaults<T extends object>(target: T, defaults: Partial<T>): void {
  for (const [name, value] of Object.entries(defaults) as [keyof T, T[keyof T]][]) {
    if (target[name] === undefined || target[name] === null || target[name] === "") target[name] = value;
  }
}
