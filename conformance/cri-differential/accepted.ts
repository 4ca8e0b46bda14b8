import type { Accepted } from "./compare.ts";

const laterAPI = "a field that the CRI got after containerd 1.6";
const ownCode = "a mistake of the caller has a code that says so; containerd 1.6 answers Unknown to most";
const nobodysId = "an empty id is one that nobody has, as any other";
const crunsWay = "crun makes it so, runc another way";

/** Where we differ from containerd 1.6 on purpose, and why. Each has to occur: what is mended is taken out of here. */
export const accepted: Accepted[] = [
  { step: "version*", path: "runtimeName", why: "who we are" },
  { step: "version*", path: "runtimeVersion", why: "who we are" },
  { step: "status", path: "features", theirs: undefined, why: laterAPI },
  { step: "status", path: "runtimeHandlers", theirs: undefined, why: laterAPI },
  { step: "*", path: "*imageId", theirs: undefined, why: laterAPI },
  { step: "*", path: "status.stopSignal", theirs: undefined, why: laterAPI },
  { step: "*", path: "status.user", theirs: undefined, why: laterAPI },
  { step: "*", path: "timestamp", theirs: undefined, why: laterAPI },
  { step: "pod with a container: status", path: "containersStatuses", theirs: undefined, why: laterAPI },

  { step: "no id: *", path: "code", ours: "NotFound", theirs: "Unknown", why: nobodysId },
  { step: "no id: *", path: "code", ours: "OK", theirs: "Unknown", why: nobodysId },
  {
    step: "an unknown id: StopPodSandbox",
    path: "code",
    ours: "OK",
    why: "idempotent, as the API asks and containerd does since 1.7",
  },
  {
    step: "an unknown id: StopContainer",
    path: "code",
    ours: "OK",
    why: "idempotent, as the API asks and containerd does since 1.7",
  },
  { step: "*", path: "code", ours: "InvalidArgument", theirs: "Unknown", why: ownCode },
  { step: "*", path: "code", ours: "FailedPrecondition", theirs: "Unknown", why: ownCode },
  { step: "*", path: "code", ours: "AlreadyExists", theirs: "Unknown", why: ownCode },
  { step: "create: no image", path: "code", ours: "NotFound", theirs: "Unknown", why: ownCode },
  { step: "create: a device that is not there", path: "code", ours: "NotFound", theirs: "Unknown", why: ownCode },
  {
    step: "stopped: a container",
    path: "code",
    ours: "FailedPrecondition",
    theirs: "NotFound",
    why: "the sandbox is there, but stopped",
  },
  {
    step: "pull: no*",
    path: "code",
    ours: "NotFound",
    theirs: "Unknown",
    why: "the registry says that it is not there",
  },

  { step: "image status: no name", path: "code", ours: "InvalidArgument", theirs: "OK", why: ownCode },
  { step: "image status: no spec", path: "code", ours: "InvalidArgument", theirs: "OK", why: ownCode },
  { step: "images: *", path: "*", why: "containerd 1.6 lists all images, whatever the filter" },
  {
    step: "image file system",
    path: "0.*",
    ours: true,
    theirs: false,
    why: "containerd adds up every 10 s what has come",
  },

  { step: "pod stats", path: "cpu", why: "a rate needs two readings; containerd reads by itself every 10 s" },
  { step: "pod stats", path: "processes", ours: true, theirs: false, why: "containerd 1.6 does not count them" },
  {
    step: "created: ContainerStats",
    path: "code",
    ours: "OK",
    theirs: "Unknown",
    why: "what is known of it is no error",
  },
  {
    step: "ended: ContainerStats",
    path: "code",
    ours: "OK",
    theirs: "Unknown",
    why: "what is known of it is no error",
  },
  { step: "*: ListContainerStats", path: "", ours: 0, theirs: 1, why: "the API: stats of the running containers" },
  { step: "running: ContainerStats", path: "writableLayer", why: "containerd 1.6 leaves the time out" },

  {
    step: "exec: without a command",
    path: "code",
    ours: "InvalidArgument",
    theirs: "OK",
    why: "refused before a URL is given, not after",
  },
  {
    step: "exec: *",
    path: "code",
    ours: "OK",
    theirs: "Unknown",
    why: "a program that cannot be run is exit code 126 or 127, as in a shell and in Docker",
  },
  {
    step: "create: ends *",
    path: "code",
    ours: "Unknown",
    theirs: "OK",
    why: "crun and runc look for the program when the container is made, as under CRI-O; containerd calls them at the start",
  },
  { step: "start: ends *", path: "code", ours: undefined, why: "not made, so not started" },
  { step: "ended *", path: "code", ours: undefined, why: "not made, so not ended" },
  {
    step: "ended: UpdateContainerResources",
    path: "code",
    ours: "FailedPrecondition",
    theirs: "OK",
    why: "containerd changes the record of what has ended",
  },

  {
    step: "a capability *",
    path: "*",
    why: "a name with CAP_ is the same capability; containerd 1.6 knows CAP_CAP_KILL only",
  },
  { step: "ambient capabilities: inside", path: "*", why: laterAPI },
  { step: "*", path: "limits.oom_score_adj", theirs: "1", why: "zero is zero; containerd's shim leaves its own" },
  { step: "the node's IPC: inside", path: "mounts./dev/shm", why: "nosuid, nodev and noexec on the node's too" },

  { ociRuntime: "crun", step: "*: inside", path: "devices", why: `${crunsWay}: /dev/core` },
  { ociRuntime: "crun", step: "*: inside", path: "mounts./sys/fs/cgroup", why: crunsWay },
  { ociRuntime: "crun", step: "a terminal: inside", path: "mounts./dev/console", why: crunsWay },
  {
    ociRuntime: "crun",
    step: "masked and read-only paths: inside",
    path: "mounts.*",
    why: `${crunsWay}: what hides a path`,
  },
];
