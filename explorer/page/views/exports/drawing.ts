/**
 * Draws parts of the page as SVG that needs no style sheet: text, boxes, and pictures that are SVG on the
 * page already.
 *
 * @module
 */

const SVG = "http://www.w3.org/2000/svg";
/** Properties of SVG elements that come from style sheets. */
const PROPERTIES = [
  ...["fill", "fill-rule", "stroke", "stroke-width", "stroke-dasharray", "opacity"],
  ...["font-family", "font-size", "font-weight", "text-anchor"],
] as const;
/** What is for use on the page only. */
const CONTROLS = "button, input, select, details, .nothing";
const TRANSPARENT = "rgba(0, 0, 0, 0)";
/** From the top of a line of text to its base line, as a part of its height. */
const BASE_LINE = 0.78;

/** The place that the drawing is relative to. */
interface Origin {
  readonly left: number;
  readonly top: number;
}

/** Returns a drawing of an element of the page as a group whose origin is the element's corner. */
export function draw(root: Element): SVGGElement {
  const group = create("g", {});
  const { left, top } = root.getBoundingClientRect();
  drawElement(root, { left, top }, group);
  return group;
}

/** Creates an element with attributes. */
export function create<K extends keyof SVGElementTagNameMap>(
  name: K,
  attributes: Readonly<Record<string, string | number>>,
): SVGElementTagNameMap[K] {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  return element;
}

function drawElement(element: Element, origin: Origin, group: SVGElement): void {
  if (element instanceof SVGSVGElement) return void group.append(copy(element, origin));
  if (element.matches(CONTROLS)) return;
  drawBox(element, origin, group);
  for (const node of element.childNodes) {
    if (node instanceof Element) drawElement(node, origin, group);
    else if (node instanceof Text) drawText(node, origin, group);
  }
}

/** Draws an element's background, and its border or what stands in for one. */
function drawBox(element: Element, origin: Origin, group: SVGElement): void {
  const style = getComputedStyle(element), box = element.getBoundingClientRect();
  const shadow = /rgba?\([^)]*\)/.exec(style.boxShadow)?.[0];
  const hasBorder = style.borderBottomWidth !== "0px" && style.borderLeftWidth !== "0px";
  const stroke = hasBorder ? style.borderBottomColor : shadow;
  if (style.backgroundColor === TRANSPARENT && stroke === undefined) return;
  group.append(create("rect", {
    x: round(box.left - origin.left),
    y: round(box.top - origin.top),
    width: round(box.width),
    height: round(box.height),
    rx: parseFloat(style.borderRadius) || 0,
    fill: style.backgroundColor === TRANSPARENT ? "none" : style.backgroundColor,
    stroke: stroke ?? "none",
  }));
}

/** Draws the lines of a text. */
function drawText(node: Text, origin: Origin, group: SVGElement): void {
  const parent = node.parentElement!, style = getComputedStyle(parent);
  for (const { text, box } of linesOf(node)) {
    const line = create("text", {
      x: round(box.left - origin.left),
      y: round(box.top - origin.top + box.height * BASE_LINE),
      fill: style.color,
      "font-family": style.fontFamily,
      "font-size": style.fontSize,
      "font-weight": style.fontWeight,
      "text-decoration": parent.closest("del") === null ? "none" : "line-through",
      "xml:space": "preserve",
    });
    line.textContent = text;
    group.append(line);
  }
}

/** Divides a text into the lines that the page shows, by the places of its words. */
function linesOf(node: Text): { text: string; box: DOMRect }[] {
  const lines: { text: string; box: DOMRect }[] = [], range = document.createRange();
  for (const match of node.data.matchAll(/\S+\s*/g)) {
    range.setStart(node, match.index);
    range.setEnd(node, match.index + match[0].trimEnd().length);
    const box = range.getClientRects()[0], last = lines.at(-1);
    if (box === undefined) continue;
    if (last?.box.top === box.top) last.text += match[0];
    else lines.push({ text: match[0], box });
  }
  return lines;
}

/** Copies a picture, with its styles as attributes. */
function copy(picture: SVGSVGElement, origin: Origin): SVGSVGElement {
  const box = picture.getBoundingClientRect(), result = picture.cloneNode(true) as SVGSVGElement;
  const from = [picture, ...picture.querySelectorAll("*")];
  [result, ...result.querySelectorAll("*")].forEach((element, i) => inline(from[i], element));
  result.setAttribute("x", String(round(box.left - origin.left)));
  result.setAttribute("y", String(round(box.top - origin.top)));
  result.setAttribute("width", String(round(box.width)));
  result.setAttribute("height", String(round(box.height)));
  return result;
}

/** Replaces classes and attributes for use on the page by the styles that the page computes. */
function inline(from: Element, to: Element): void {
  const style = getComputedStyle(from);
  for (const property of PROPERTIES) to.setAttribute(property, style.getPropertyValue(property));
  for (const name of to.getAttributeNames()) {
    if (/^(class|role|tabindex|aria-.*)$/.test(name)) to.removeAttribute(name);
  }
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
