/** Error for a photograph that is not drawn; its message is one line for people. */
export class Refused extends Error {
  constructor(reason, message) {
    super(message);
    this.reason = reason;
  }
}
