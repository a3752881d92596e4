// What the server remembers. The library's own memory holds a thousand things and forgets
// the oldest, used refresh tokens among them: whose use again it would not recognize then. This
// one keeps everything until it expires.
const things = new Map(); // by `Model:id`
const granted = new Map(); // the keys of what belongs to a grant, by its id

setInterval(() => {
  const now = Date.now();
  for (const [key, { end }] of things) if (end <= now) things.delete(key);
  for (const [grant, keys] of granted) {
    for (const key of keys) if (!things.has(key)) keys.delete(key);
    if (keys.size === 0) granted.delete(grant);
  }
}, 10_000).unref();

export class Memory {
  constructor(model) {
    this.model = model;
  }

  key(id) {
    return `${this.model}:${id}`;
  }

  async upsert(id, payload, seconds) {
    const key = this.key(id);
    things.set(key, { payload, end: seconds ? Date.now() + seconds * 1000 : Infinity });
    const { grantId } = payload;
    if (grantId && this.model !== 'Grant' && this.model !== 'Session' && this.model !== 'Interaction') {
      if (!granted.has(grantId)) granted.set(grantId, new Set());
      granted.get(grantId).add(key);
    }
  }

  async find(id) {
    const thing = things.get(this.key(id));
    return thing && thing.end > Date.now() ? thing.payload : undefined;
  }

  async findByUid(uid) {
    for (const [key, { payload }] of things) {
      if (key.startsWith(`${this.model}:`) && payload.uid === uid) return payload;
    }
    return undefined;
  }

  async findByUserCode() {
    return undefined; // there is no device flow here
  }

  async consume(id) {
    things.get(this.key(id)).payload.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    things.delete(this.key(id));
  }

  async revokeByGrantId(grantId) {
    for (const key of granted.get(grantId) ?? []) things.delete(key);
    granted.delete(grantId);
  }
}
