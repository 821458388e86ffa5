//! Who may ask: which names of this server and which pages of others browsers may use.
//!
//! A browser sends any page's requests anywhere, also to this machine. A page of another site is told by `Origin`; a site whose name
//! is made to lead here (DNS rebinding) is told by `Host`.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::options::AccessArgs;
use crate::problem::Problem;

/// Who may ask.
#[derive(Debug, Default)]
pub struct Access {
    /// Names in lower case.
    hosts: Vec<String>,
    any_host: bool,
    /// Origins in lower case.
    origins: Vec<String>,
}

impl Access {
    /// Names that are no names and origins that are no origins are refused.
    pub fn new(args: &AccessArgs) -> Result<Self, String> {
        let mut access = Self::default();
        for name in &args.allow_host {
            match name.parse::<Authority>() {
                _ if name == "*" => access.any_host = true,
                Ok(authority) if authority.port().is_none() && !name.contains('@') => {
                    access.hosts.push(name.to_ascii_lowercase());
                }
                _ => {
                    return Err(format!(
                        "--allow-host {name}: a host name without port is needed, such as photos.example.com"
                    ));
                }
            }
        }
        for origin in &args.allow_origin {
            let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            if authority.is_none_or(|authority| authority.contains('@') || authority.parse::<Authority>().is_err()) {
                return Err(format!(
                    "--allow-origin {origin}: an origin is needed, such as https://shop.example.com, without a path"
                ));
            }
            access.origins.push(origin.to_ascii_lowercase());
        }
        Ok(access)
    }

    /// Checks the name that a client uses for this server, and the page that it asks for. Returns the origin of a page of others that
    /// may read the answer.
    ///
    /// # Errors
    /// 400 for no name, 421 for a wrong one, 403 for a page that is not allowed.
    pub fn check(&self, headers: &HeaderMap, in_target: Option<&Authority>) -> Result<Option<HeaderValue>, Problem> {
        let host = self.host(headers, in_target)?;
        let Some(origin) = headers.get(header::ORIGIN) else {
            return Ok(None);
        };
        let text = origin.to_str().unwrap_or_default().to_ascii_lowercase();
        if self.origins.contains(&text) {
            return Ok(Some(origin.clone()));
        }
        let own = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        // A default port is left out on both sides.
        if own == Some(host.as_str()) {
            return Ok(None);
        }
        let detail = "the request comes from a page of another origin; --allow-origin lets pages in";
        Err(Problem::new(StatusCode::FORBIDDEN, "origin", detail))
    }

    /// The name and port that the client uses, in lower case.
    fn host(&self, headers: &HeaderMap, in_target: Option<&Authority>) -> Result<String, Problem> {
        let mut all = headers.get_all(header::HOST).iter();
        let (first, more) = (all.next(), all.next());
        let authority = match (first, more, in_target) {
            (Some(host), None, _) => host.to_str().ok().and_then(|text| text.parse::<Authority>().ok()),
            (None, None, Some(authority)) => Some(authority.clone()),
            _ => None,
        };
        let usable = authority.filter(|authority| !authority.as_str().contains('@'));
        let Some(authority) = usable else {
            return Err(Problem::bad_request("host", "one Host header with the name of this server is needed"));
        };
        let name = authority.host().to_ascii_lowercase();
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
        // An address cannot be made to lead elsewhere, as a name can.
        let known =
            self.any_host || name == "localhost" || bare.parse::<IpAddr>().is_ok() || self.hosts.contains(&name);
        if known {
            return Ok(authority.as_str().to_ascii_lowercase());
        }
        let detail = "this server is not known by the name in the Host header; --allow-host adds a name";
        Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "host", detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(hosts: &[&str], origins: &[&str]) -> Result<Access, String> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Access::new(&AccessArgs { allow_host: owned(hosts), allow_origin: owned(origins) })
    }

    /// The status of a refusal, or the origin that is let in.
    fn check(access: &Access, host: Option<&str>, origin: Option<&str>) -> Result<Option<String>, u16> {
        let mut headers = HeaderMap::new();
        for (name, value) in [(header::HOST, host), (header::ORIGIN, origin)] {
            if let Some(value) = value {
                headers.insert(name, value.parse().unwrap());
            }
        }
        let result = access.check(&headers, None);
        result.map(|origin| origin.map(|origin| origin.to_str().unwrap().to_owned())).map_err(|p| p.status().as_u16())
    }

    #[test]
    fn this_machine_and_addresses_are_known_and_names_only_when_told() {
        let plain = access(&[], &[]).unwrap();
        for host in ["localhost", "LocalHost:8080", "127.0.0.1:1", "[::1]:8080", "192.168.0.7:8080"] {
            assert_eq!(check(&plain, Some(host), None), Ok(None), "{host}");
        }
        for host in ["attacker.example", "localhost.attacker.example:8080", "127.0.0.1.attacker.example", "localhost@x"]
        {
            assert!(matches!(check(&plain, Some(host), None), Err(421 | 400)), "{host}");
        }
        assert_eq!(check(&plain, None, None), Err(400));
        let named = access(&["Photos.example.com"], &[]).unwrap();
        assert_eq!(check(&named, Some("photos.example.com:80"), None), Ok(None));
        assert_eq!(check(&access(&["*"], &[]).unwrap(), Some("any.example"), None), Ok(None));
    }

    #[test]
    fn pages_of_others_are_let_in_only_when_told() {
        let (host, plain) = (Some("localhost:8080"), access(&[], &[]).unwrap());
        assert_eq!(check(&plain, host, Some("http://localhost:8080")), Ok(None));
        for origin in ["http://localhost:8081", "https://attacker.example", "null", "http://localhost"] {
            assert_eq!(check(&plain, host, Some(origin)), Err(403), "{origin}");
        }
        let told = access(&[], &["https://shop.example.com"]).unwrap();
        let shop = "https://shop.example.com";
        assert_eq!(check(&told, host, Some(shop)), Ok(Some(shop.into())));
        assert_eq!(check(&told, host, Some("http://shop.example.com")), Err(403));
    }

    #[test]
    fn what_is_no_name_and_no_origin_is_refused_at_the_start() {
        assert!(access(&["example.com:80"], &[]).unwrap_err().contains("without port"));
        assert!(access(&["https://example.com"], &[]).is_err());
        for origin in ["shop.example.com", "https://shop.example.com/", "*", "null"] {
            assert!(access(&[], &[origin]).unwrap_err().contains("an origin is needed"), "{origin}");
        }
    }
}
