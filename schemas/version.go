package schemas

// CodeVersion stands in every commit record.
const CodeVersion = "0.1.0"
