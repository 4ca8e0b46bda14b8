export { imagesAdminService, loadMethod } from "./admin.ts";
export type { OCIImageConfig } from "./config.ts";
export type { Image } from "./records.ts";
export type { AuthConfig } from "./registry/credentials.ts";
export { imageService } from "./service.ts";
export {
  type FsInfo,
  type ImageStore,
  type ImageStoreOptions,
  openImageStore,
} from "./store.ts";
export { checkStoreConfig, type ImageStoreConfig } from "./store-config.ts";
