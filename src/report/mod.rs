//! Events and plans, shown to people and machines: to text, to JSON, to pictures. It prints nothing by itself.
