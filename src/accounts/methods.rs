//! Which methods in which order open an account, as OpenSSH's `AuthenticationMethods` has it.
//!
//! What an operator wrote (a [`Policy`]) becomes a [`Course`] for one login, which can only be left
//! by what a sequence asks for, one stage at a time. What does not fit the course opens nothing.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use crate::domain::error::{Error, Result};

const MAX_SEQUENCES: usize = 8;

/// A way to prove who one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A certificate (X.509) that the client showed in its TLS handshake.
    Certificate,
    /// Questions and answers (RFC 4256).
    Interactive,
    /// A password (RFC 4252 section 8).
    Password,
    /// A key or a certificate (RFC 4252 section 7).
    PublicKey,
}

/// What one proves one knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// The password, and a code.
    Both,
    /// A code.
    Code,
    /// The password.
    Password,
}

/// A method as an operator writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    Certificate,
    /// What the account has and was not asked for before.
    Interactive,
    InteractiveCode,
    InteractivePassword,
    Password,
    PublicKey,
}

const WORDS: [(&str, Element); 6] = [
    ("certificate", Element::Certificate),
    ("keyboard-interactive", Element::Interactive),
    ("keyboard-interactive:totp", Element::InteractiveCode),
    (
        "keyboard-interactive:password",
        Element::InteractivePassword,
    ),
    ("password", Element::Password),
    ("publickey", Element::PublicKey),
];

/// The sequences of methods any of which opens an account: `publickey,password publickey,keyboard-interactive`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy(Vec<Vec<Element>>);

impl Default for Policy {
    /// Any one method.
    fn default() -> Self {
        Self(vec![
            vec![Element::Certificate],
            vec![Element::PublicKey],
            vec![Element::Password],
            vec![Element::Interactive],
        ])
    }
}

impl FromStr for Policy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let sequences: Vec<_> = text
            .split_ascii_whitespace()
            .map(sequence)
            .collect::<Result<_>>()?;
        match sequences.len() {
            0 => Err(Error::invalid(
                "there are no methods; write them as in 'publickey,password', or 'any'",
            )),
            1..=MAX_SEQUENCES => Ok(Self(sequences)),
            _ => Err(Error::invalid(format!(
                "there are more than {MAX_SEQUENCES} sequences; write fewer"
            ))),
        }
    }
}

fn sequence(text: &str) -> Result<Vec<Element>> {
    let mut elements = Vec::new();
    for word in text.split(',') {
        let found = WORDS.iter().find(|(known, _)| *known == word);
        let (_, element) = *found.ok_or_else(|| {
            let all = WORDS.map(|(word, _)| word).join(", ");
            Error::invalid(format!(
                "'{}' is no method; there are {all}",
                word.escape_debug()
            ))
        })?;
        elements.push(element);
    }
    let wrong = |why: &str| Error::invalid(format!("'{text}' cannot be: {why}"));
    let mut passwords = 0;
    let mut codes = 0;
    for (index, element) in elements.iter().enumerate() {
        match element {
            Element::Certificate | Element::PublicKey => {
                if elements.iter().filter(|e| *e == element).count() > 1 {
                    return Err(wrong("name certificate and publickey once"));
                }
            }
            Element::Password | Element::InteractivePassword => passwords += 1,
            Element::Interactive => {
                passwords += usize::from(passwords == 0);
                codes += 1;
            }
            Element::InteractiveCode if index == 0 => {
                return Err(wrong(
                    "a code alone opens nothing; put certificate, publickey or password before it",
                ));
            }
            Element::InteractiveCode => codes += 1,
        }
    }
    match (passwords, codes) {
        (0 | 1, 0 | 1) => Ok(elements),
        (0 | 1, _) => Err(wrong("ask for a code once")),
        _ => Err(wrong("ask for the password once")),
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |element: &Element| {
            let found = WORDS.iter().find(|(_, known)| known == element);
            found.map_or("", |(word, _)| *word)
        };
        let sequence =
            |elements: &Vec<Element>| elements.iter().map(word).collect::<Vec<_>>().join(",");
        let all: Vec<_> = self.0.iter().map(sequence).collect();
        f.write_str(&all.join(" "))
    }
}

/// What an account has to prove itself with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Equipment {
    /// It has a password.
    pub password: bool,
    /// It has something that makes codes.
    pub second_factor: bool,
    /// The code stands behind the password.
    pub appended_code: bool,
}

/// One thing that was asked for and is given at once, as far as SSH can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A certificate of TLS.
    Certificate,
    /// Questions about these.
    Interactive(Secrets),
    /// A key or a certificate.
    Key,
    /// These, sent as a password.
    Password(Secrets),
}

impl Stage {
    fn method(self) -> Method {
        match self {
            Self::Certificate => Method::Certificate,
            Self::Interactive(_) => Method::Interactive,
            Self::Key => Method::PublicKey,
            Self::Password(_) => Method::Password,
        }
    }
}

/// What is still to be given in one login: sequences, any of which may be gone on with. None of
/// them is ever empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course(Vec<VecDeque<Stage>>);

/// Where a login stands after one stage.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    /// A sequence is done.
    Done,
    /// More is asked for.
    Further(Course),
    /// This was not asked for.
    OffCourse,
}

impl Course {
    /// The course of a login that has proven nothing yet. Sequences for which the account lacks
    /// something are left out. Whoever gives a password has to give a code as well where the
    /// account has a second factor.
    pub fn new(policy: &Policy, equipment: Equipment) -> Self {
        let sequences = policy.0.iter().filter_map(|s| stages(s, equipment));
        Self(sequences.collect())
    }

    /// The course of an account that does not exist.
    pub fn nowhere() -> Self {
        Self(Vec::new())
    }

    /// Whether a certificate of TLS comes next in some sequence.
    pub fn wants_certificate(&self) -> bool {
        self.next().any(|stage| stage == Stage::Certificate)
    }

    /// Whether a key comes next in some sequence.
    pub fn wants_key(&self) -> bool {
        self.next().any(|stage| stage == Stage::Key)
    }

    /// What a password must hold that comes next in some sequence.
    pub fn password(&self) -> Option<Secrets> {
        self.next().find_map(|stage| match stage {
            Stage::Password(secrets) => Some(secrets),
            Stage::Certificate | Stage::Interactive(_) | Stage::Key => None,
        })
    }

    /// What questions are about that come next in some sequence.
    pub fn interactive(&self) -> Option<Secrets> {
        self.next().find_map(|stage| match stage {
            Stage::Interactive(secrets) => Some(secrets),
            Stage::Certificate | Stage::Key | Stage::Password(_) => None,
        })
    }

    /// The methods that come next.
    pub fn methods(&self) -> Vec<Method> {
        let mut methods: Vec<Method> = Vec::new();
        for stage in self.next() {
            if !methods.contains(&stage.method()) {
                methods.push(stage.method());
            }
        }
        methods
    }

    /// Goes on: `proven` was given.
    pub fn after(self, proven: Stage) -> Standing {
        let mut left = Vec::new();
        for mut sequence in self.0 {
            if sequence.pop_front() == Some(proven) {
                if sequence.is_empty() {
                    return Standing::Done;
                }
                left.push(sequence);
            }
        }
        match left.is_empty() {
            true => Standing::OffCourse,
            false => Standing::Further(Self(left)),
        }
    }

    fn next(&self) -> impl Iterator<Item = Stage> {
        self.0
            .iter()
            .filter_map(|sequence| sequence.front().copied())
    }
}

/// The stages of a sequence; none when the account can never go through them.
fn stages(sequence: &[Element], has: Equipment) -> Option<VecDeque<Stage>> {
    let mut stages = VecDeque::new();
    let mut password_given = false;
    let mut code_given = false;
    for element in sequence {
        let secrets = match element {
            Element::Certificate => {
                stages.push_back(Stage::Certificate);
                continue;
            }
            Element::PublicKey => {
                stages.push_back(Stage::Key);
                continue;
            }
            Element::Password if has.second_factor && has.appended_code && !code_given => {
                Secrets::Both
            }
            Element::Password | Element::InteractivePassword => Secrets::Password,
            Element::InteractiveCode => Secrets::Code,
            Element::Interactive => match (
                has.password && !password_given,
                has.second_factor && !code_given,
            ) {
                (true, true) => Secrets::Both,
                (true, false) => Secrets::Password,
                (false, true) => Secrets::Code,
                (false, false) => return None,
            },
        };
        let asks_code = secrets != Secrets::Password;
        let asks_password = secrets != Secrets::Code;
        if (asks_password && !has.password) || (asks_code && !has.second_factor) {
            return None;
        }
        // A code that was appended is not asked for again.
        if asks_code && code_given {
            continue;
        }
        // Six digits protect nothing by themselves.
        if !asks_password && stages.is_empty() {
            return None;
        }
        password_given |= asks_password;
        code_given |= asks_code;
        stages.push_back(match element {
            Element::Password => Stage::Password(secrets),
            _ => Stage::Interactive(secrets),
        });
    }
    if has.second_factor && password_given && !code_given {
        stages.push_back(Stage::Interactive(Secrets::Code));
    }
    (!stages.is_empty()).then_some(stages)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Stage = Stage::Key;
    const PASSWORD: Stage = Stage::Password(Secrets::Password);
    const CODE: Stage = Stage::Interactive(Secrets::Code);
    const BOTH: Stage = Stage::Interactive(Secrets::Both);
    const ASKED: Stage = Stage::Interactive(Secrets::Password);

    const PLAIN: Equipment = Equipment {
        password: true,
        second_factor: false,
        appended_code: false,
    };
    const SECURED: Equipment = Equipment {
        second_factor: true,
        ..PLAIN
    };

    fn policy(text: &str) -> Policy {
        text.parse().unwrap()
    }

    /// Whether these stages in this order let somebody in, and no earlier.
    fn opens(text: &str, has: Equipment, stages: &[Stage]) -> bool {
        let mut course = Course::new(&policy(text), has);
        for (index, stage) in stages.iter().enumerate() {
            match course.after(*stage) {
                Standing::Done => return index + 1 == stages.len(),
                Standing::Further(next) => course = next,
                Standing::OffCourse => return false,
            }
        }
        false
    }

    #[test]
    fn only_the_whole_sequence_in_its_order_opens() {
        let text = "publickey,password";
        assert!(opens(text, PLAIN, &[KEY, PASSWORD]));
        for wrong in [
            &[KEY][..],
            &[PASSWORD],
            &[PASSWORD, KEY],
            &[KEY, KEY],
            &[PASSWORD, PASSWORD],
            &[KEY, ASKED],
            &[],
        ] {
            assert!(!opens(text, PLAIN, wrong), "{wrong:?}");
        }
    }

    #[test]
    fn any_of_several_sequences_opens() {
        let text = "publickey,password password,keyboard-interactive:totp";
        assert!(opens(text, SECURED, &[KEY, PASSWORD, CODE]));
        assert!(opens(text, SECURED, &[PASSWORD, CODE]));
        assert!(!opens(text, SECURED, &[PASSWORD, KEY]));
        assert!(!opens(text, SECURED, &[KEY, CODE]));
        // Without a second factor the other sequence is left.
        assert!(opens(text, PLAIN, &[KEY, PASSWORD]));
        assert!(!opens(text, PLAIN, &[PASSWORD]));
    }

    #[test]
    fn whoever_gives_a_password_gives_a_code_too() {
        let any = Policy::default().to_string();
        assert!(opens(&any, SECURED, &[KEY]));
        assert!(opens(&any, SECURED, &[PASSWORD, CODE]));
        assert!(opens(&any, SECURED, &[BOTH]));
        for wrong in [&[PASSWORD][..], &[ASKED], &[CODE], &[CODE, PASSWORD]] {
            assert!(!opens(&any, SECURED, wrong), "{wrong:?}");
        }
        let appended = Equipment {
            appended_code: true,
            ..SECURED
        };
        let whole = Stage::Password(Secrets::Both);
        assert!(opens(&any, appended, &[whole]));
        assert!(!opens(&any, appended, &[PASSWORD]));
        assert!(opens("publickey,password", appended, &[KEY, whole]));
        assert!(opens(
            "password,keyboard-interactive:totp",
            appended,
            &[whole]
        ));
    }

    #[test]
    fn a_code_alone_opens_nothing() {
        let keyless = Equipment {
            password: false,
            ..SECURED
        };
        let course = Course::new(&Policy::default(), keyless);
        assert_eq!(course.methods(), [Method::Certificate, Method::PublicKey]);
        let course = Course::new(&policy("keyboard-interactive"), keyless);
        assert_eq!(course.methods(), []);
        assert!(opens(
            "publickey,keyboard-interactive",
            keyless,
            &[KEY, CODE]
        ));
    }

    #[test]
    fn what_the_account_lacks_leaves_no_way_around() {
        for text in [
            "publickey,keyboard-interactive:totp",
            "password,keyboard-interactive",
            "publickey,password,keyboard-interactive:totp",
        ] {
            let course = Course::new(&policy(text), PLAIN);
            assert_eq!(course.methods(), [], "{text}");
            assert_eq!(course.after(KEY), Standing::OffCourse);
        }
        assert_eq!(Course::nowhere().after(PASSWORD), Standing::OffCourse);
        let bare = Equipment {
            password: false,
            ..PLAIN
        };
        assert_eq!(
            Course::new(&policy("publickey,password"), bare).methods(),
            []
        );
    }

    #[test]
    fn impossible_policies_are_refused_with_a_reason() {
        for text in [
            "",
            "publickey,",
            "hostbased",
            "publickey,publickey",
            "password,password",
            "keyboard-interactive,password",
            "password,keyboard-interactive:password",
            "keyboard-interactive:totp",
            "keyboard-interactive:totp,publickey",
            "keyboard-interactive,keyboard-interactive:totp",
            "Publickey",
            "publickey password publickey password publickey password publickey password publickey",
        ] {
            assert!(text.parse::<Policy>().is_err(), "{text}");
        }
        let text = "publickey,keyboard-interactive:totp password,keyboard-interactive";
        assert_eq!(policy(text).to_string(), text);
    }
}
