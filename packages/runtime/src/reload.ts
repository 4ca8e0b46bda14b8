import { isDeepStrictEqual } from "node:util";
import type { Logger } from "@hawser/trace";
import { completeConfig, type PartialConfig, type RuntimeConfig } from "./config.ts";
import type { ImageStore } from "./images/index.ts";
import { checkFilesLimit } from "./oci/rlimits.ts";
import { settings } from "./settings.ts";

/** What a reading of the configuration came to, by the settings' keys. */
export interface Reloaded {
  /** In force now. */
  changed: string[];
  /** In the file, and not in force before a restart. */
  needRestart: string[];
}

/** The configuration of a running runtime: takes over what can change while it runs. */
export interface Reloader {
  /**
   * Reads the configuration again and takes it over, and says in the log what became of it. A configuration that cannot be
   * read changes nothing. Never rejects. Readings come one after another; those asked for while one waits are one.
   */
  reload(read: () => Promise<PartialConfig>): Promise<Reloaded | undefined>;
  /** The last reading: did it succeed, and when, milliseconds since 1970. The start counts as one. */
  last(): { successful: boolean; succeededAt: number };
}

interface Dependencies {
  /** In force; is changed in place. */
  config: RuntimeConfig;
  images: Pick<ImageStore, "configure">;
  log: Logger;
  now?: () => number;
}

export function createReloader({ config, images, log, now = Date.now }: Dependencies): Reloader {
  const last = { successful: true, succeededAt: now() };
  let running: Promise<Reloaded | undefined> = Promise.resolve(undefined);
  let waiting: Promise<Reloaded | undefined> | undefined;

  const once = async (read: () => Promise<PartialConfig>): Promise<Reloaded | undefined> => {
    try {
      const next = completeConfig(await read());
      await checkFilesLimit(next.rlimits);
      const differ = settings.filter(({ key }) => !isDeepStrictEqual(valueAt(config, key), valueAt(next, key)));
      const changed = differ.filter(({ reload }) => reload).map(({ key }) => key);
      const needRestart = differ.filter(({ reload }) => !reload).map(({ key }) => key);
      images.configure(next.images); // may throw: before anything else is taken over
      for (const key of changed) takeOver(config, next, key);
      Object.assign(last, { successful: true, succeededAt: now() });
      log.info(changed.length > 0 ? "configuration reloaded" : "configuration reloaded: nothing to take over", {
        changed,
      });
      if (needRestart.length > 0) log.warn("these settings need a restart; the old ones are in force", { needRestart });
      return { changed, needRestart };
    } catch (error) {
      last.successful = false;
      log.error("configuration not reloaded; the old one is in force", { error });
      return undefined;
    }
  };
  return {
    reload(read) {
      waiting ??= running.then(() => {
        waiting = undefined;
        running = once(read);
        return running;
      });
      return waiting;
    },
    last: () => ({ ...last }),
  };
}

function valueAt(config: object, key: string): unknown {
  return key.split(".").reduce<unknown>((at, name) => (at as Record<string, unknown> | undefined)?.[name], config);
}

/** Both are whole configurations: each section of the key is there. */
function takeOver(config: object, next: object, key: string): void {
  const dot = key.lastIndexOf(".");
  const section = dot < 0 ? config : valueAt(config, key.slice(0, dot));
  Object.assign(section as object, { [key.slice(dot + 1)]: valueAt(next, key) });
}
