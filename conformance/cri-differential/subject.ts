import { type DescMethod, toJson } from "@bufbuild/protobuf";
import { Client, credentials } from "@grpc/grpc-js";
import { Code } from "@hawser/cri";
import { type AnyMessage, type APIVersion, methodDefinition } from "../../packages/cri/src/definition.ts";
import { ImageService, RuntimeService } from "../../packages/cri/src/gen/cri_pb.ts";
import { type JSONValue, plain } from "./plain.ts";

/** What one call came to: a gRPC code, and the answer in plain form. Messages of errors are each runtime's own words. */
export interface Outcome {
  code: string;
  answer?: JSONValue;
}

/** An answer as it came: fields by their JSON names. */
// biome-ignore lint/suspicious/noExplicitAny: answers are looked into by the script, which knows their methods
export type Answer = any;

/** A runtime under comparison: makes calls and keeps what came of them, by the step's name. */
export interface Subject extends Disposable {
  /** "hawser" or "containerd". */
  name: string;
  /** Where the script may make files of the node. */
  folder: string;
  /** Below it pods have their cgroups; without one where the runtime has them by itself. */
  cgroupParent: string | undefined;
  outcomes: Map<string, Outcome>;
  /** Makes a call by name. Resolves with the answer, undefined for an error. Throws when the step was taken already. */
  call(step: string, method: string, request: object, options?: CallOptions): Promise<Answer>;
  /** Makes a call that is no step: resolves with its answer, undefined for an error. */
  peek(method: string, request: object): Promise<Answer>;
  /** Records what was seen by other ways. */
  note(step: string, answer: JSONValue): void;
  /** Calls an id by a name from here on. */
  learn(id: string | undefined, name: string): string;
}

interface CallOptions {
  version?: APIVersion;
  /** Bytes put behind the request: fields of a later API. */
  extra?: Uint8Array;
  /** What of the answer counts; all of it without. */
  pick?: (answer: Answer) => unknown;
}

const methods = new Map<string, DescMethod>(
  [...RuntimeService.methods, ...ImageService.methods].map((method) => [method.name, method]),
);
const codes = new Map(Object.entries(Code).map(([name, number]) => [Number(number), name]));
/** How long a call may take, milliseconds. */
const callTimeout = 60_000;

export function createSubject(options: {
  name: string;
  endpoint: string;
  folder: string;
  cgroupParent?: string;
}): Subject {
  const channel = new Client(options.endpoint, credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
    "grpc.max_receive_message_length": 64 << 20,
  });
  const outcomes = new Map<string, Outcome>();
  const names = new Map<string, string>([[options.folder, "FOLDER"]]);
  const keep = (step: string, outcome: Outcome) => {
    if (outcomes.has(step)) throw new Error(`step "${step}" is taken twice`);
    outcomes.set(step, outcome);
  };
  const make = async (name: string, request: object, { version = "v1", extra = new Uint8Array() }: CallOptions) => {
    const method = methods.get(name);
    if (!method) throw new Error(`the CRI has no ${name}`);
    const definition = methodDefinition(method, version);
    const serialize = (message: AnyMessage) => Buffer.concat([definition.requestSerialize(message), extra]);
    const { promise, resolve } = Promise.withResolvers<{ code: number; answer?: AnyMessage | undefined }>();
    channel.makeUnaryRequest(
      definition.path,
      serialize,
      definition.responseDeserialize,
      request as AnyMessage,
      { deadline: Date.now() + callTimeout },
      (error, answer) => resolve(error ? { code: error.code } : { code: 0, answer }),
    );
    const { code, answer } = await promise;
    return { code, answer: answer && (toJson(method.output, answer as never) as Answer) };
  };
  return {
    name: options.name,
    folder: options.folder,
    cgroupParent: options.cgroupParent,
    outcomes,
    async call(step, method, request, { pick = (all: Answer) => all, ...more } = {}) {
      const { code, answer } = await make(method, request, more);
      const outcome: Outcome = { code: codes.get(code) ?? String(code) };
      if (answer !== undefined) outcome.answer = plain(pick(answer), names);
      keep(step, outcome);
      return answer;
    },
    async peek(method, request) {
      return (await make(method, request, {})).answer;
    },
    note(step, answer) {
      keep(step, { code: "OK", answer: plain(answer, names) });
    },
    learn(id, name) {
      if (!id) throw new Error(`${options.name} gave no id for ${name}`);
      names.set(id, name);
      return id;
    },
    [Symbol.dispose]: () => channel.close(),
  };
}
