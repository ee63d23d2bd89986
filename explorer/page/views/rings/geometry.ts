/**
 * Places on a circle of descriptors. Descriptor 0 begins at the top; the circle goes clockwise, as the
 * device and the driver do.
 *
 * @module
 */

// @ts-types="@types/d3-shape"
import { arc } from "d3-shape";

/** Width and height of the picture, in its own units; the circle is in its middle. */
export const WIDTH = 264, HEIGHT = 212;
/** Outer and inner radius of the circle of descriptors. */
export const OUTER = 85, INNER = 63;
const TURN = 2 * Math.PI;

interface Wedge {
  readonly startAngle: number;
  readonly endAngle: number;
  readonly innerRadius: number;
  readonly outerRadius: number;
}

const draw = arc<Wedge>();

/**
 * Returns the path of descriptors `from` to `to` - 1, around the origin.
 *
 * @param grow How much wider than the circle it is, on both sides.
 */
export function wedge(from: number, to: number, entries: number, grow = 0): string {
  return draw({
    startAngle: TURN * from / entries,
    endAngle: TURN * to / entries,
    innerRadius: INNER - grow,
    outerRadius: OUTER + grow,
  }) ?? "";
}

/** Lines between descriptors by the number of descriptors, since rings are drawn often. */
const lines = new Map<number, string>();

/** Returns lines between descriptors as one path. */
export function separators(entries: number): string {
  let path = lines.get(entries);
  if (path === undefined) lines.set(entries, path = drawSeparators(entries));
  return path;
}

function drawSeparators(entries: number): string {
  return Array.from({ length: entries }, (_, i) => {
    const angle = TURN * i / entries;
    return `M${point(angle, INNER)}L${point(angle, OUTER)}`;
  }).join("");
}

/** Returns the angle of a descriptor's middle, clockwise from the top. */
export function angleOf(index: number, entries: number): number {
  return TURN * (index + 0.5) / entries;
}

/** Returns a point as `x,y`. */
export function point(angle: number, radius: number): string {
  return `${round(x(angle, radius))},${round(y(angle, radius))}`;
}

/** Returns the horizontal place of a point. */
export function x(angle: number, radius: number): number {
  return Math.sin(angle) * radius;
}

/** Returns the vertical place of a point. */
export function y(angle: number, radius: number): number {
  return -Math.cos(angle) * radius;
}

/**
 * Returns the descriptor at a place of the picture; undefined in the middle and outside.
 *
 * @param dx Distance from the centre to the right, in the units of the picture.
 * @param dy Distance from the centre downwards.
 */
export function descriptorAt(dx: number, dy: number, entries: number): number | undefined {
  const radius = Math.hypot(dx, dy);
  if (radius < INNER - 8 || radius > OUTER + 8) return undefined;
  const turns = (Math.atan2(dx, -dy) / TURN + 1) % 1;
  return Math.min(entries - 1, Math.floor(turns * entries));
}

/**
 * Returns the angles of two labels, which are moved apart if they are less than `least` apart.
 */
export function spread(a: number, b: number, least: number): readonly [number, number] {
  const gap = Math.atan2(Math.sin(b - a), Math.cos(b - a)); // the short way around
  if (Math.abs(gap) >= least) return [a, b];
  const middle = a + gap / 2, half = gap < 0 ? -least / 2 : least / 2;
  return [middle - half, middle + half];
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
