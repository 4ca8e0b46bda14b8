export type { OCIImageConfig } from "./config.ts";
export type { Image } from "./records.ts";
export {
  type FsInfo,
  type ImageStore,
  type ImageStoreConfig,
  type ImageStoreOptions,
  openImageStore,
} from "./store.ts";
