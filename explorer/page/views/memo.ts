/**
 * Components that are rendered again only if a property has changed.
 *
 * @module
 */

import { Component, type ComponentChild, type ComponentType } from "preact";

/**
 * Returns a component that is rendered again only if one of its properties is another value. Its
 * properties must be plain values: an array that changes in place would not be noticed.
 */
export function memo<P extends object>(
  render: (properties: P) => ComponentChild,
): ComponentType<P> {
  return class extends Component<P> {
    override shouldComponentUpdate(next: P): boolean {
      const keys = Object.keys(next) as (keyof P)[];
      return keys.some((key) => next[key] !== (this.props as P)[key]);
    }

    override render(): ComponentChild {
      return render(this.props as P);
    }
  };
}
