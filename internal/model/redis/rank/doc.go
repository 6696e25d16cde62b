// Package rank keeps the elements of a collection in their order and counts them, as a tree
// of rows that are found one by one, without a scan: by name.
//
//	level 2      │             a              │        m        │   the root
//	level 1      │ a    │ d    │ f    │   h   │ m   │  p  │  t   │
//	level 0      │ aaab │ deee │ fffg │ hhjkl │ mnn │ ppq │ tuvz │   elements
//
// A place is where an element stands: bytes that sort as the elements do, none of them
// empty. A node stands where its first child stands, and goes up to the next node of its
// level; the first one of a level begins before everything. A leaf, a node of level 0, lists
// the places of its elements, every other one those of its children but for the first one,
// which stands where it does itself. So an empty list is no row.
//
// Of each node between the leaves and the root a row of its own counts the elements, so that
// a new element writes few bytes: a leaf and a number per level. None is no row.
//
//	<prefix> <level 1> [<place>]          a list: length as a uvarint and bytes of each;
//	                                      above the leaves also its marks: offset 4 of
//	                                      every sixteenth place, number of marks 2
//	<prefix> 0x10 + <level 1> [<place>]   elements 8
//
// A node is cut in two above Tree.Children or so many bytes, and goes when it has no
// elements; if it is the first child of its parent, the second one comes in its place. So
// the first leaf always has the same name, and who takes elements away from there finds no
// gaps.
//
// The Tree keeps the path to a leaf until it needs another one, and writes it then, or when
// Flush is called: neighbours that are added or removed together write their leaf once.
package rank
