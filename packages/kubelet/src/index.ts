export { type Kubelet, type KubeletOptions, startKubelet } from "./kubelet.ts";
export { defaultSettings, type KubeletSettings } from "./settings.ts";
