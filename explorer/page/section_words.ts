/**
 * Sections of the books that the project follows, in words.
 *
 * @module
 */

/** Returns which book a section is in, and where: `datasheet 7.1.6.2`; `VirtIO 2.7.5` says it itself. */
export function sectionWords(section: string): string {
  return /^\d/.test(section) ? `datasheet ${section}` : section;
}
