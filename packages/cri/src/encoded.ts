import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";

/** A message in bytes already, as a method's answer. Whether it is this method's is known by its schema, when it is sent. */
export class EncodedMessage<Desc extends DescMessage> {
  readonly schema: Desc;
  readonly bytes: Buffer;

  constructor(schema: Desc, bytes: Buffer) {
    this.schema = schema;
    this.bytes = bytes;
  }
}

/** For an answer that is made in parts, so that the event loop is not held for all of it. */
export function encodeMessage<Desc extends DescMessage>(
  schema: Desc,
  message: MessageInitShape<Desc>,
): EncodedMessage<Desc> {
  const bytes = toBinary(schema, create(schema, message));
  return new EncodedMessage(schema, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
}

/**
 * The message whose lists are those of all parts, in their order. In protobuf, the bytes of two messages one after the other are
 * those of both. Source: protobuf.dev/programming-guides/encoding
 */
export function joinMessages<Desc extends DescMessage>(
  schema: Desc,
  parts: readonly EncodedMessage<Desc>[],
): EncodedMessage<Desc> {
  return new EncodedMessage(schema, Buffer.concat(parts.map(({ bytes }) => bytes)));
}

/**
 * Makes lists of objects that do not change: each is described and encoded when it is first listed, and its bytes are kept for as
 * long as somebody has the object. What changes has to be another object.
 *
 * `describe` gives the list of this object alone.
 */
export function listEncoder<Item extends object, Desc extends DescMessage>(
  schema: Desc,
  describe: (item: Item) => MessageInitShape<Desc>,
): (items: readonly Item[]) => EncodedMessage<Desc> {
  const known = new WeakMap<Item, EncodedMessage<Desc>>();
  const partOf = (item: Item) => {
    let part = known.get(item);
    if (!part) {
      part = encodeMessage(schema, describe(item));
      known.set(item, part);
    }
    return part;
  };
  return (items) => joinMessages(schema, items.map(partOf));
}
