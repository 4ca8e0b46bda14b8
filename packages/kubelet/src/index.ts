export { type Kubelet, type KubeletOptions, startKubelet } from "./kubelet.ts";
export { kubeletVersion } from "./node/register.ts";
export { defaultSettings, type KubeletSettings } from "./settings.ts";
