import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";

/** A message in bytes already, as a method's answer. */
export class EncodedMessage<Desc extends DescMessage> {
  readonly schema: Desc;
  readonly bytes: Buffer;

  constructor(schema: Desc, bytes: Buffer) {
    this.schema = schema;
    this.bytes = bytes;
  }
}

/**
 * Makes lists of objects that do not change: each is described and encoded when it is first listed, and its bytes are kept for as
 * long as somebody has the object. What changes has to be another object.
 *
 * `describe` gives the list of this object alone: in protobuf, the bytes of two messages one after the other are those of
 * both, whose lists are joined.
 */
export function listEncoder<Item extends object, Desc extends DescMessage>(
  schema: Desc,
  describe: (item: Item) => MessageInitShape<Desc>,
): (items: readonly Item[]) => EncodedMessage<Desc> {
  const known = new WeakMap<Item, Uint8Array>();
  const bytesOf = (item: Item) => {
    let bytes = known.get(item);
    if (!bytes) {
      bytes = toBinary(schema, create(schema, describe(item)));
      known.set(item, bytes);
    }
    return bytes;
  };
  return (items) => new EncodedMessage(schema, Buffer.concat(items.map(bytesOf)));
}
